//! One request in flight, from its head to the last byte of its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::activity::Activity;
use super::scan::Verdict;
use super::stalled::Handed;
use crate::body::{Body, BodyError};
use crate::limits::H2_PIECE_BYTES;

/// Counts as a request in flight until it is dropped.
pub(super) struct Flight {
    activity: Arc<Activity>,
}

impl Flight {
    pub(super) fn begin(activity: &Arc<Activity>) -> (Self, Verdict) {
        let verdict = activity.begin();
        (Self { activity: Arc::clone(activity) }, verdict)
    }

    /// Something that belongs to a request and may outlive it, such as a WebSocket.
    pub(super) fn beside(activity: &Arc<Activity>) -> Self {
        activity.hold();
        Self { activity: Arc::clone(activity) }
    }

    /// The response's body, which carries the flight to its end.
    pub(super) fn carry(self, body: Body) -> InFlight {
        InFlight { body, stream: Handed::current(), left: Bytes::new(), _flight: self }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.activity.end();
    }
}

pub(super) struct InFlight {
    body: Body,
    stream: Option<Arc<Handed>>,
    /// Of a frame that is handed out in pieces.
    left: Bytes,
    _flight: Flight,
}

impl InFlight {
    /// Takes the next frame of the body. Data is kept to be handed out in pieces.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(polled.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => {
                    self.left = data;
                    self.piece()
                }
                Err(frame) => frame,
            })
        }))
    }

    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.left.split_to(self.left.len().min(H2_PIECE_BYTES)))
    }
}

impl http_body::Body for InFlight {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = self.stream.clone() else { return Pin::new(&mut self.body).poll_frame(cx) };
        let polled =
            if self.left.is_empty() { self.poll_next(cx) } else { Poll::Ready(Some(Ok(self.piece()))) };
        match &polled {
            Poll::Ready(_) => stream.handed(),
            Poll::Pending => stream.asked(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (left, body) = (self.left.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        if let Some(upper) = body.upper() {
            whole.set_upper(upper.saturating_add(left));
        }
        whole.set_lower(body.lower().saturating_add(left));
        whole
    }
}
