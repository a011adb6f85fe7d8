//! A steady visitor: a small request at every tick of a clock, on a thread of its own, so that neither the bulk beside it
//! nor the driver's own work on that bulk is in its times.
//!
//! Two times are noted. The first is from the moment when a request was sent: what the system did with the requests that
//! it got. The second counts as well those that were due while an earlier one was stuck and were never sent, with the
//! time from when they were due until the earlier one came back: a visitor of that moment would have waited at least as
//! long (coordinated omission). Due requests are not sent late, so a slow system is not buried under them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use super::requests::within;
use super::scene::{Errors, Scene};
use crate::histogram::Histogram;
use crate::limits::REQUEST_WITHIN;
use crate::origin::SMALL_BODY;
use crate::visitor::{Purpose, Visitor};

/// What a steady visitor saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Times since each request was sent.
    pub since_sent: Histogram,
    /// The same, and what those would have waited at least that were due meanwhile.
    pub since_due: Histogram,
    /// Requests that failed. They count in both with the longest time.
    pub errors: Errors,
}

impl Seen {
    /// With those of another.
    pub fn add(&mut self, other: Self) {
        self.since_sent.add(&other.since_sent);
        self.since_due.add(&other.since_due);
        self.errors.add(other.errors);
    }
}

/// Starts; the answer comes when the time is over.
pub fn start(scene: &Scene, lasts: Duration) -> Result<oneshot::Receiver<Seen>> {
    let (tell, told) = oneshot::channel();
    let scene = scene.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        // Nobody waits any more when the load was given up.
        let _nobody_waits = tell.send(runtime.block_on(probe(&scene, lasts)));
    };
    std::thread::Builder::new().name("probe".into()).spawn(run).context("no thread for probes")?;
    Ok(told)
}

async fn probe(scene: &Scene, lasts: Duration) -> Seen {
    let request = scene.small_request();
    let mut seen = Seen::default();
    // Its handshake is no request. Where it fails, the first request says so.
    let mut visitor: Option<Visitor> = scene.target.connect(Purpose::Small).await.ok();
    let started = Instant::now();
    let mut due = started;
    while due < started + lasts {
        // The thread has nothing else to do, and the system's clock is finer than the runtime's.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        let outcome = within(async {
            if visitor.is_none() {
                visitor = Some(scene.target.connect(Purpose::Small).await?);
            }
            visitor.as_mut().context("no connection")?.exchange(&request, SMALL_BODY).await
        });
        let outcome = outcome.await;
        let took = sent.elapsed();
        if let Err(error) = &outcome {
            seen.errors.note(error);
            visitor = None;
        }
        let counts = if outcome.is_ok() { took } else { took.max(REQUEST_WITHIN) };
        seen.since_sent.record(counts);
        seen.since_due.record(counts);
        missed(took, scene.plan.probe_every).for_each(|waited| seen.since_due.record(waited));
        due += scene.plan.probe_every;
        while due < Instant::now() {
            due += scene.plan.probe_every;
        }
    }
    seen
}

/// What those would have waited at least that were due while a request was under way.
fn missed(took: Duration, every: Duration) -> impl Iterator<Item = Duration> {
    let waits = std::iter::successors(Some(took), move |waited| waited.checked_sub(every));
    waits.skip(1).filter(|waited| !waited.is_zero())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::missed;

    #[test]
    fn whoever_was_due_while_one_was_stuck_counts() {
        let millis = |took: u64| -> Vec<u128> {
            missed(Duration::from_millis(took), Duration::from_millis(2))
                .map(|time| time.as_millis())
                .collect()
        };
        assert!(millis(1).is_empty() && millis(2).is_empty());
        assert_eq!(millis(7), [5, 3, 1]);
        assert_eq!(millis(8000).len(), 3999);
    }
}
