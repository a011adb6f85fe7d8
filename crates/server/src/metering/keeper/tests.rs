#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use adit_authority::limits::USAGE_ROWS_MAX;
use adit_authority::{BoxFuture, Unavailable, Usage, UsageRow};
use adit_domain::Carried;
use adit_domain::id::{EndpointId, NodeId};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::Keeper;
use crate::clock::wall_clock;
use crate::limits::{USAGE_LAST_DEADLINE, USAGE_REPORT_DEADLINE, USAGE_WRITE_INTERVAL};
use crate::metering::{Keeping, Meters};

/// A control plane that can be away, and that can lose its answers.
#[derive(Default)]
struct Plane {
    rows: Mutex<HashMap<String, Carried>>,
    is_away: AtomicBool,
    answers_lost: AtomicBool,
    hangs: AtomicBool,
    reports: AtomicUsize,
    largest_report: AtomicUsize,
}

impl Plane {
    fn sum(&self) -> Carried {
        self.rows.lock().unwrap().values().fold(Carried::default(), |sum, row| sum.plus(*row))
    }
}

impl Usage for Plane {
    fn report<'a>(&'a self, rows: &'a [UsageRow]) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            self.reports.fetch_add(1, Ordering::SeqCst);
            if self.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let away = Err(Unavailable { reason: "planted".to_owned() });
            if self.is_away.load(Ordering::SeqCst) {
                return away;
            }
            self.largest_report.fetch_max(rows.len(), Ordering::SeqCst);
            let mut kept = self.rows.lock().unwrap();
            for row in rows {
                let key = format!("{} {} {} {}", row.node, row.boot, row.endpoint, row.hour);
                let kept = kept.entry(key).or_default();
                *kept = kept.largest(row.carried);
            }
            if self.answers_lost.load(Ordering::SeqCst) { away } else { Ok(()) }
        })
    }
}

struct Installation {
    plane: Arc<Plane>,
    node: NodeId,
    folder: TempDir,
}

impl Installation {
    fn new() -> Self {
        Self { plane: Arc::default(), node: NodeId::new(), folder: tempfile::tempdir().unwrap() }
    }

    async fn keeper(&self) -> (Keeper, Arc<Meters>) {
        let meters = Arc::new(Meters::default());
        let plane: Arc<dyn Usage> = self.plane.clone();
        let (folder, clock) = (self.folder.path(), Arc::new(wall_clock));
        let keeper = Keeper::open(self.node, folder, plane, Arc::clone(&meters), clock).await.unwrap();
        (keeper, meters)
    }
}

fn carried(requests: u64, in_bytes: u64) -> Carried {
    Carried { requests, in_bytes, ..Carried::default() }
}

#[tokio::test]
async fn what_a_killed_process_wrote_down_is_reported_once() {
    let installation = Installation::new();
    let plane = &installation.plane;
    let endpoint = EndpointId::new();
    let mut expected = Carried::default();
    // Away, reachable, and reachable without hearing the answer: whichever it was, the next run makes it right.
    for (is_away, answers_lost) in [(true, false), (false, true), (false, false), (true, true), (false, true)]
    {
        plane.is_away.store(is_away, Ordering::SeqCst);
        plane.answers_lost.store(answers_lost, Ordering::SeqCst);
        let (mut keeper, meters) = installation.keeper().await;
        let meter = meters.of(endpoint).unwrap();
        for _ in 0..3 {
            meter.request();
            meter.incoming(7);
            keeper.round().await;
        }
        expected = expected.plus(carried(3, 21));
        // Not written down any more: lost with the process, which is what the interval bounds.
        meter.request();
        drop(keeper);
    }
    plane.is_away.store(false, Ordering::SeqCst);
    plane.answers_lost.store(false, Ordering::SeqCst);
    let (mut keeper, _) = installation.keeper().await;
    keeper.round().await;
    assert_eq!(plane.sum(), expected);
    keeper.round().await;
    // The rows of earlier runs are confirmed: nothing is left to keep.
    assert_eq!(keeper.book.rows().count(), 0);
    assert_eq!(plane.sum(), expected);
}

/// Make-before-break: the next process runs while the old one drains, and the old one does not come to its end.
#[tokio::test]
async fn what_a_process_wrote_down_that_is_killed_beside_its_successor_is_reported() {
    let installation = Installation::new();
    let endpoint = EndpointId::new();
    let (mut leaves, old_meters) = installation.keeper().await;
    let old_meter = old_meters.of(endpoint).unwrap();
    old_meter.incoming(1);
    leaves.round().await;
    let (mut comes, new_meters) = installation.keeper().await;
    let new_meter = new_meters.of(endpoint).unwrap();
    for _ in 0..3 {
        old_meter.incoming(10);
        new_meter.incoming(100);
        leaves.round().await;
        comes.round().await;
    }
    assert_eq!(installation.plane.sum(), carried(0, 331));
    // Written and not reported, and then killed.
    installation.plane.is_away.store(true, Ordering::SeqCst);
    old_meter.incoming(1_000);
    leaves.round().await;
    drop(leaves);
    installation.plane.is_away.store(false, Ordering::SeqCst);
    comes.round().await;
    assert_eq!(installation.plane.sum(), carried(0, 1_331));
    comes.round().await;
    assert_eq!(installation.plane.sum(), carried(0, 1_331));
}

#[tokio::test]
async fn reports_are_made_in_pieces() {
    let installation = Installation::new();
    for (n, largest) in [
        (USAGE_ROWS_MAX - 1, USAGE_ROWS_MAX - 1),
        (USAGE_ROWS_MAX, USAGE_ROWS_MAX),
        (USAGE_ROWS_MAX + 1, USAGE_ROWS_MAX),
    ] {
        installation.plane.largest_report.store(0, Ordering::SeqCst);
        let before = installation.plane.sum().requests;
        let (mut keeper, meters) = installation.keeper().await;
        for _ in 0..n {
            meters.of(EndpointId::new()).unwrap().request();
        }
        keeper.round().await;
        assert_eq!(installation.plane.sum().requests - before, n as u64);
        assert!(installation.plane.largest_report.load(Ordering::SeqCst) <= USAGE_ROWS_MAX);
        assert!(installation.plane.largest_report.load(Ordering::SeqCst) >= largest.min(n));
    }
}

#[tokio::test]
async fn a_meter_that_nobody_holds_stays_until_its_hour_is_over() {
    let installation = Installation::new();
    let (mut keeper, meters) = installation.keeper().await;
    let endpoint = EndpointId::new();
    meters.of(endpoint).unwrap().request();
    // Never carried anything: forgotten at once.
    meters.of(EndpointId::new()).unwrap();
    keeper.round().await;
    assert_eq!(meters.all().len(), 1);
    meters.of(endpoint).unwrap().request();
    keeper.round().await;
    assert_eq!(installation.plane.sum(), carried(2, 0));
}

/// What is on the disk is as good as a report, for as long as the control plane takes.
#[tokio::test(start_paused = true)]
async fn a_report_that_is_not_answered_has_a_deadline() {
    let installation = Installation::new();
    let (mut keeper, meters) = installation.keeper().await;
    meters.of(EndpointId::new()).unwrap().request();
    installation.plane.hangs.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    keeper.round().await;
    assert_eq!(begun.elapsed().as_millis(), USAGE_REPORT_DEADLINE.as_millis());
    installation.plane.hangs.store(false, Ordering::SeqCst);
    keeper.round().await;
    assert_eq!(installation.plane.sum(), carried(1, 0));
}

#[tokio::test(start_paused = true)]
async fn usage_is_written_down_every_few_seconds() {
    const ROUNDS: usize = 5;
    let installation = Installation::new();
    let (keeper, meters) = installation.keeper().await;
    let meter = meters.of(EndpointId::new()).unwrap();
    let (_stop, stopped) = oneshot::channel();
    let counting = async {
        meter.request();
        sleep(USAGE_WRITE_INTERVAL / 2).await;
        for round in 1..=ROUNDS {
            assert_eq!(installation.plane.reports.load(Ordering::SeqCst), round);
            assert_eq!(installation.plane.sum().requests, round as u64);
            meter.request();
            sleep(USAGE_WRITE_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        () = counting => {}
        () = keeper.run(stopped) => {}
    }
}

/// The round that is under way and the last one may take longer together.
#[tokio::test(start_paused = true)]
async fn the_last_round_has_a_deadline() {
    let installation = Installation::new();
    let (meters, plane): (Arc<Meters>, Arc<dyn Usage>) = (Arc::default(), installation.plane.clone());
    meters.of(EndpointId::new()).unwrap().request();
    installation.plane.hangs.store(true, Ordering::SeqCst);
    let (clock, folder) = (Arc::new(wall_clock), installation.folder.path());
    let (keeping, _task) =
        Keeping::begin(installation.node, Arc::clone(&meters), clock, plane, folder).await.unwrap();
    while installation.plane.reports.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    timeout(2 * USAGE_LAST_DEADLINE, keeping.end()).await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), USAGE_LAST_DEADLINE.as_millis());
}
