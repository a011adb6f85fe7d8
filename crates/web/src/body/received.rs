//! A body as hyper received it, turned into the common type.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::BodyError;
use crate::hygiene;

/// In HTTP/2 the end of a stream says that a body is whole (RFC 9113 section 8.1). hyper also ends one without an error
/// whose stream or connection was given up with `NO_ERROR`.
const NO_END: &str = "the stream was given up before its end";

pub(super) struct Received {
    incoming: Incoming,
    /// Whether a body that says nothing more must have said that it is whole.
    says_end: bool,
    fault: fn(Fault) -> BodyError,
}

/// What went wrong below.
pub(super) type Fault = Box<dyn Error + Send + Sync>;

impl Received {
    pub(super) fn new(incoming: Incoming, version: Version, fault: fn(Fault) -> BodyError) -> Self {
        Self { incoming, says_end: version == Version::HTTP_2, fault }
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
            Some(Err(error)) => return Poll::Ready(Some(Err((self.fault)(error.into())))),
            None if self.says_end && !self.incoming.is_end_stream() => {
                return Poll::Ready(Some(Err((self.fault)(NO_END.into()))));
            }
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
