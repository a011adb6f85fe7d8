//! The clock of a socket that takes nothing.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Since when a socket takes nothing, for whoever moves bytes to one. Its one timer is made at the first wait, and moved only
/// when it rings too early: in a fast transfer the socket is full all the time, for moments.
#[derive(Debug, Default)]
pub struct Blocked {
    since: Option<(Instant, u64)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Blocked {
    /// Ready once the socket has taken nothing for all of `patience`. `waiting`: while something waits for it, a
    /// count that changes whenever it takes a part.
    pub fn poll(&mut self, cx: &mut Context<'_>, waiting: Option<u64>, patience: Duration) -> Poll<()> {
        let Some(taken) = waiting else {
            self.since = None;
            return Poll::Pending;
        };
        let since = match self.since {
            Some((since, before)) if before == taken => since,
            _ => Instant::now(),
        };
        self.since = Some((since, taken));
        let Some(due) = since.checked_add(patience) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}
