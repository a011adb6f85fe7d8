//! A body that fails when its source makes no progress.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::BodyError;

/// Ends with [`BodyError::Idle`] when somebody has waited for a frame for the whole time. A reader that does
/// not ask is not the source's fault: the clock runs only while a frame is asked for.
///
/// One timer for the body's whole life, made at the first wait and moved only when it rings too early.
pub struct IdleTimeout<B> {
    body: B,
    idle: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> IdleTimeout<B> {
    /// Gives `body` at most `idle` between two frames.
    pub fn new(body: B, idle: Duration) -> Self {
        Self { body, idle, waiting_since: None, sleep: None }
    }

    /// From now on `body` has at most `idle` between two frames. A wait that nobody asks for any more counts anew.
    pub fn hold_to(&mut self, idle: Duration) {
        self.idle = idle;
        self.waiting_since = None;
        self.sleep = None;
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        // A time that cannot be represented never comes.
        let Some(due) = since.checked_add(self.idle) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl<B: Body<Error = BodyError> + Unpin> Body for IdleTimeout<B> {
    type Data = B::Data;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting_since = None;
            return Poll::Ready(frame);
        }
        this.poll_idle(cx).map(|()| Some(Err(BodyError::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
