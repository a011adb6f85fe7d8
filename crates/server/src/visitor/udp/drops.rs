//! Datagrams that were dropped: counted, and told in the log from time to time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use adit_domain::Hostname;
use tokio::time::Instant;

use crate::limits::DROPS_TOLD_EVERY;

/// Why a datagram goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// A visitor's, and its flow's queue is full, or those of the tenant or the node together are.
    Queue,
    /// A visitor's, and it may not begin a flow.
    NoFlow,
    /// A visitor's, and it is longer than what can be carried.
    TooLong,
    /// The upstream's, and the system does not send it.
    Unsent,
}

/// The counts of one public port.
#[derive(Debug)]
pub(super) struct Drops {
    hostname: Hostname,
    queue: AtomicU64,
    no_flow: AtomicU64,
    too_long: AtomicU64,
    unsent: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Drops {
    /// None yet.
    pub(super) fn new(hostname: Hostname) -> Self {
        let [queue, no_flow, too_long, unsent] = [const { AtomicU64::new(0) }; 4];
        Self { hostname, queue, no_flow, too_long, unsent, told: Mutex::new(None) }
    }

    /// One more.
    pub(super) fn count(&self, why: Dropped) {
        let counter = match why {
            Dropped::Queue => &self.queue,
            Dropped::NoFlow => &self.no_flow,
            Dropped::TooLong => &self.too_long,
            Dropped::Unsent => &self.unsent,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Visitors may not fill the log.
    fn tell(&self) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| now.saturating_duration_since(at) < DROPS_TOLD_EVERY) {
            return;
        }
        *told = Some(now);
        drop(told);
        let [queue, no_flow, too_long, unsent] =
            [&self.queue, &self.no_flow, &self.too_long, &self.unsent].map(|of| of.load(Ordering::Relaxed));
        let hostname = &self.hostname;
        tracing::info!(%hostname, queue, no_flow, too_long, unsent, "datagrams were dropped, so many so far");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::time::Duration;

    use adit_domain::Hostname;
    use tokio::time::{Instant, advance};

    use super::{Dropped, Drops};
    use crate::limits::DROPS_TOLD_EVERY;

    #[tokio::test(start_paused = true)]
    async fn the_log_tells_of_drops_now_and_then() {
        const A_MOMENT: Duration = Duration::from_millis(1);
        let drops = Drops::new(Hostname::parse("a.example").unwrap());
        let told_last = || drops.told.lock().unwrap().unwrap();
        let begun = Instant::now();
        drops.count(Dropped::Queue);
        advance(DROPS_TOLD_EVERY.saturating_sub(A_MOMENT)).await;
        drops.count(Dropped::Queue);
        assert_eq!(told_last(), begun);
        advance(A_MOMENT).await;
        drops.count(Dropped::Queue);
        assert_eq!(told_last(), begun + DROPS_TOLD_EVERY);
    }
}
