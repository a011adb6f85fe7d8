//! A response's body on its way to the visitor, with the connection that it comes from.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_web::{Body, BodyError};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::VisitorConnection;
use super::sending::Sending;
use super::upstream::{Sharing, Upstream};
use crate::access::{Access, By};
use crate::share::RequestPlace;

/// What one exchange keeps until its response has ended.
pub(super) struct Lent {
    pub(super) upstream: Upstream,
    /// How far the request's body has come.
    pub(super) sending: Option<Arc<Sending>>,
    pub(super) visitor: Arc<VisitorConnection>,
    pub(super) access: Access,
    /// Its place among the endpoint's requests.
    pub(super) _place: Option<RequestPlace>,
}

impl Lent {
    /// The response ended in order: its connection is of use for another one.
    fn give_back(self) {
        if self.sending.is_some_and(|sending| !sending.is_whole()) {
            // An early response: nobody knows what the connection would say next.
            return;
        }
        match self.upstream.sharing() {
            Sharing::OneVisitor => self.visitor.pin(self.upstream),
            Sharing::Anybody => self.upstream.into_pool(),
        }
    }
}

/// A body that moves its connection when it is asked, and gives it back at its end. After anything but a whole body the
/// connection is cut.
pub(super) struct Streaming {
    body: Body,
    lent: Option<Lent>,
}

impl Streaming {
    pub(super) fn new(body: Body, lent: Lent) -> Self {
        Self { body, lent: Some(lent) }
    }

    fn broken(&mut self) {
        if let Some(Lent { upstream, access, .. }) = self.lent.take() {
            access.cut(By::of(upstream.trace().failed()));
        }
    }

    fn end(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
    }
}

impl http_body::Body for Streaming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, lent } = &mut *self;
        let polled = match lent {
            Some(lent) => lent.upstream.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
            None => Pin::new(body).poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Err(_))) => self.broken(),
            Poll::Ready(None) => self.end(),
            // Whoever knows the length from its header does not ask for the end.
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.end(),
            _ => {}
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

impl Drop for Streaming {
    fn drop(&mut self) {
        // One without a byte may never have been asked.
        if self.body.is_end_stream() {
            self.end();
        }
    }
}
