//! Bodies that a test hands out piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::body::BodyError;

pub(super) struct Pieces {
    left_bytes: Option<u64>,
    pieces: mpsc::Receiver<Bytes>,
}

impl Pieces {
    /// Ends when the test lets go.
    pub(super) fn of(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { left_bytes: None, pieces }
    }

    /// Ends after so many bytes.
    pub(super) fn of_length(bytes: usize, pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { left_bytes: Some(bytes as u64), pieces }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.pieces.poll_recv(cx);
        if let (Poll::Ready(Some(piece)), Some(left)) = (&polled, &mut self.left_bytes) {
            *left -= piece.len() as u64;
        }
        polled.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left_bytes.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
