//! One request in flight, from its head to the last byte of its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::activity::Activity;
use super::scan::Verdict;
use super::stalled::Handed;
use crate::body::{Body, BodyError};

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
        InFlight { body, stream: Handed::current(), _flight: self }
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
    _flight: Flight,
}

impl http_body::Body for InFlight {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match (&self.stream, &polled) {
            (Some(stream), Poll::Ready(_)) => stream.handed(),
            (Some(stream), Poll::Pending) => stream.asked(),
            (None, _) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
