//! A body as hyper received it, turned into the common type.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::BodyError;
use crate::hygiene;

pub(super) struct Received {
    incoming: Incoming,
    fault: fn(hyper::Error) -> BodyError,
}

impl Received {
    pub(super) fn new(incoming: Incoming, fault: fn(hyper::Error) -> BodyError) -> Self {
        Self { incoming, fault }
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err((self.fault)(error)))),
            None => return Poll::Ready(None),
        };
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                hygiene::trailers(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
