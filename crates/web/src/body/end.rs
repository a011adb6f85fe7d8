//! A body that tells how it ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was handed on, trailers included.
    Complete,
    /// Its source failed.
    Failed,
    /// Its reader went away before the end.
    Dropped,
}

/// How a body ended, and how much of it was handed on until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// In which way.
    pub ending: Ending,
    /// Bytes of data frames that were handed on.
    pub body_bytes: u64,
}

/// Calls `told` exactly once, with how the body ended.
pub struct OnEnd<B: Body, F: FnOnce(End)> {
    body: B,
    told: Option<F>,
    body_bytes: u64,
}

impl<B: Body, F: FnOnce(End)> OnEnd<B, F> {
    /// Watches over `body`. A body that is already at its end is reported when it is dropped.
    pub fn new(body: B, told: F) -> Self {
        Self { body, told: Some(told), body_bytes: 0 }
    }

    fn tell(&mut self, ending: Ending) {
        if let Some(told) = self.told.take() {
            told(End { ending, body_bytes: self.body_bytes });
        }
    }
}

impl<B: Body + Unpin, F: FnOnce(End) + Unpin> Body for OnEnd<B, F> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                this.body_bytes = this.body_bytes.saturating_add(bytes as u64);
                // Whoever knows the length from its header does not ask for the end.
                if this.body.is_end_stream() {
                    this.tell(Ending::Complete);
                }
            }
            Poll::Ready(Some(Err(_))) => this.tell(Ending::Failed),
            Poll::Ready(None) => this.tell(Ending::Complete),
            Poll::Pending => {}
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

impl<B: Body, F: FnOnce(End)> Drop for OnEnd<B, F> {
    fn drop(&mut self) {
        let ending = if self.body.is_end_stream() { Ending::Complete } else { Ending::Dropped };
        self.tell(ending);
    }
}

#[cfg(test)]
mod tests;
