//! The clock of a write that waits for its peer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Stands for "never" where a deadline cannot be represented.
const FAR: Duration = Duration::from_hours(365 * 24);

/// Fails a write that has waited for the whole time. One timer per connection, made at the first wait.
pub(crate) struct Stall {
    limit: Duration,
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, since: None, sleep: None }
    }

    /// Passes the outcome of a write on, unless it has waited for too long.
    pub(crate) fn limit<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.since = None;
            return outcome;
        }
        let due = after(*self.since.get_or_insert_with(Instant::now), self.limit);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "peer took no bytes in time",
                )));
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// `moment + wait`, or a moment that never comes where that cannot be represented.
pub(crate) fn after(moment: Instant, wait: Duration) -> Instant {
    moment.checked_add(wait).or_else(|| moment.checked_add(FAR)).unwrap_or(moment)
}
