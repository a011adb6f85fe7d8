//! What is billed is what visitors and upstreams saw, to the byte; a node that is killed loses seconds and doubles nothing.

mod killed;
mod raw;
mod transfers;
mod visits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adit_e2e::{
    Ledger, Options, Parts, Pattern, PortSlot, Scene, Signal, Stack, Totals, Visitor, empty, full, until,
};
use adit_process::tasks::{Task, Tasks};
use adit_testkit::ledger::Bill;
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use http::header::{HOST, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::net::TcpStream;

use raw::Raw;
use visits::{BODY_BYTES_MAX, get, put, visit};

/// Visitors at once.
const VISITORS: u64 = 6;
/// What each of them does, in a short run and in the full one.
const DOINGS: u64 = 60;
const DOINGS_FULL: u64 = 1_000;

/// Counts are written down every few seconds.
const BILLED_WITHIN: Duration = Duration::from_secs(40);
/// What a node that is killed may lose.
const LOST_MAX: Duration = Duration::from_secs(10);
const KILLS: u64 = 2;
const KILLS_FULL: u64 = 20;
const HANDOVERS: u64 = 2;
const HANDOVERS_FULL: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_billed_is_what_both_ends_saw() -> Result<()> {
    let options = Options { ports: Some(PortSlot::take()?), ..Options::default() };
    let scene = Scene::start_on(Stack::start_with(options).await?).await?;
    let raw = Raw::start(&scene).await?;
    let seen = Ledger::default();
    let doings = if full() { DOINGS_FULL } else { DOINGS };
    let visits = (0..VISITORS).map(|nth| visit(&scene.visitor, &raw, &seen, (nth, doings)));
    try_join_all(visits).await?;
    assert!(seen.totals().connections > VISITORS && seen.totals().in_bytes > 1_000_000, "{seen:?}");
    billed_as(&scene.stack, seen.totals()).await?;
    until("the origin has seen the same", BILLED_WITHIN, async || {
        scene.origin.ledger().totals() == seen.totals()
    })
    .await?;

    // What the node answers by itself costs nothing.
    let mut connection = scene.visitor.https().await?;
    let mut request = connection.request(Method::GET, "/", empty())?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(&format!("nobody.{}", scene.stack.domain()))?);
    assert_eq!(connection.send(request).await?.status(), StatusCode::NOT_FOUND);
    // And a node that ends in order loses nothing.
    let mut scene = scene;
    let mut last = scene.visitor.http().await?;
    get(&mut last, &seen, 1_000).await?;
    scene.stack.program().signal(Signal::TERM)?;
    scene.stack.program().end(BILLED_WITHIN).await?;
    assert_eq!(billed(&scene.stack).await?, seen.totals());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_that_break_count_up_to_the_break() -> Result<()> {
    let scene = Scene::start().await?;
    let seen = Ledger::default();
    for (wanted, mut connection) in (1..).zip(scene.visitor.each().await?) {
        let mut body = connection.get("/bytes/50000000?seed=1").await?.into_body();
        seen.request();
        while seen.totals().out_bytes < wanted * 500_000 {
            let frame = body.frame().await.context("the body goes on")??;
            seen.outgoing_frame(&frame);
        }
        drop((body, connection));
    }
    let mut billed_now = Totals::default();
    let begun = Instant::now();
    while billed_now.out_bytes < seen.totals().out_bytes {
        ensure!(begun.elapsed() < BILLED_WITHIN, "{billed_now:?} is less than {:?}", seen.totals());
        billed_now = billed(&scene.stack).await?;
    }
    // Asked last: what passed the node had left the origin before.
    let origin = scene.origin.ledger().totals();
    assert_eq!((billed_now.requests, billed_now.in_bytes), (3, 0));
    assert!(billed_now.out_bytes <= origin.out_bytes, "billed {billed_now:?}, sent {origin:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_loses_seconds_and_counts_nothing_twice() -> Result<()> {
    let options = Options { ports: Some(PortSlot::take()?), ..Options::default() };
    let mut scene = Scene::start_on(Stack::start_with(options).await?).await?;
    let mut raw = Raw::start(&scene).await?;
    let begun = Instant::now();
    let (seen, mut bills) = (Ledger::default(), Bills::default());
    for seed in 0..if full() { KILLS_FULL } else { KILLS } {
        // Longer than the interval and not a multiple of it, so that the kill comes anywhere.
        let until = begun.elapsed() + LOST_MAX + Duration::from_millis(Pattern::new(seed).below(4_000));
        for nth in seed * 1_000.. {
            visit(&scene.visitor, &raw, &seen, (nth, 20)).await?;
            bills.saw(begun.elapsed(), seen.totals(), seen.totals());
            if begun.elapsed() >= until {
                break;
            }
        }
        bills.killed(begun.elapsed());
        scene.stack.program().kill().await?;
        scene.stack.start_again().await?;
        scene.agent.event("url_assigned", BILLED_WITHIN * 2).await?;
        raw.back(BILLED_WITHIN * 2).await?;

        agree(&scene.stack, &bills).await?;
    }
    // From here on nothing is lost, and what was reported before is not reported on top.
    let base = billed(&scene.stack).await?;
    let mut connection = scene.visitor.http().await?;
    get(&mut connection, &seen, 12_345).await?;
    let expected = Totals { requests: base.requests + 1, out_bytes: base.out_bytes + 12_345, ..base };
    billed_as(&scene.stack, expected).await
}

/// For each of the counts, what must be billed and what may be: while something is on its way, one end has seen less of it than
/// the other.
#[derive(Default)]
struct Bills([[Bill; 2]; 4]);

impl Bills {
    const NAMES: [&str; 4] = ["requests", "connections", "in_bytes", "out_bytes"];

    const fn counts(totals: Totals) -> [u64; 4] {
        [totals.requests, totals.connections, totals.in_bytes, totals.out_bytes]
    }

    /// What visitors and upstreams have seen so far.
    fn saw(&mut self, at: Duration, visitors: Totals, upstreams: Totals) {
        let ends = Self::counts(visitors).into_iter().zip(Self::counts(upstreams));
        for ([must, may], (visitors, upstreams)) in self.0.iter_mut().zip(ends) {
            must.saw(at, visitors.min(upstreams));
            may.saw(at, visitors.max(upstreams));
        }
    }

    fn killed(&mut self, at: Duration) {
        self.0.iter_mut().flatten().for_each(|bill| bill.killed(at));
    }

    fn violations(&self, billed: Totals) -> Vec<String> {
        let bills = Self::NAMES.into_iter().zip(&self.0).zip(Self::counts(billed));
        let wrong = bills.filter_map(|((name, [must, may]), billed)| {
            let (least, most) = (must.least(LOST_MAX), may.most());
            let is_right = (least..=most).contains(&billed);
            (!is_right).then(|| format!("{name} {billed} of {least} to {most}"))
        });
        wrong.collect()
    }
}

#[test]
fn what_is_lost_or_counted_twice_is_found() {
    let totals = |all| Totals { requests: all, connections: all, in_bytes: all, out_bytes: all };
    let mut bills = Bills::default();
    for second in 0..=60 {
        // Upstreams are one ahead.
        bills.saw(Duration::from_secs(second), totals(second), totals(second + 1));
    }
    assert_eq!((bills.violations(totals(60)).len(), bills.violations(totals(61)).len()), (0, 0));
    assert_eq!((bills.violations(totals(59)).len(), bills.violations(totals(62)).len()), (4, 4));
    bills.killed(Duration::from_secs(30));
    bills.killed(Duration::from_secs(31));
    assert_eq!((bills.violations(totals(49)).len(), bills.violations(totals(48)).len()), (0, 4));
    let one = Totals { connections: 62, ..totals(60) };
    assert_eq!(bills.violations(one), ["connections 62 of 49 to 61"]);
}

/// One server takes the place of another again and again, on the same folder, while visitors come and a transfer goes on
/// in the old one. Nothing is lost and nothing counted twice, also where the old one does not come to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_take_each_others_place_share_the_accounts() -> Result<()> {
    let mut scene = Scene::start().await?;
    let seen = Ledger::default();
    for round in 0..if full() { HANDOVERS_FULL } else { HANDOVERS } {
        let mut connection = scene.visitor.https().await?;
        let body = connection.get("/parts").await?.into_body();
        seen.request();
        let parts = scene.origin.parts().await?;
        let mut kept = Kept { parts, body, seen: &seen };
        kept.carry(5_000).await?;
        let visitors = Coming::start(&scene.visitor, &seen);
        visitors.came(10).await?;
        visitors.end().await?;
        scene.stack.program().signal(Signal::TERM)?;
        let address = scene.stack.http();
        until("the drain begins", BILLED_WITHIN, async || TcpStream::connect(address).await.is_err()).await?;
        let mut old = scene.stack.replace().await?;
        scene.agent.event("url_assigned", BILLED_WITHIN * 2).await?;
        // Both carry, and both write it down.
        let visitors = Coming::start(&scene.visitor, &seen);
        for _ in 0..20 {
            kept.carry(1_000).await?;
            visitors.came(3).await?;
        }
        visitors.end().await?;
        if round % 2 == 0 {
            drop(kept);
            assert!(old.end(BILLED_WITHIN).await?.success());
            billed_as(&scene.stack, seen.totals()).await?;
        } else {
            // What it has not written down is lost with it; so nothing is carried until it has.
            billed_as(&scene.stack, seen.totals()).await?;
            old.kill().await?;
            assert_eq!(billed(&scene.stack).await?, seen.totals());
        }
    }
    Ok(())
}

/// A transfer that goes on.
struct Kept<'a> {
    parts: Parts,
    body: Incoming,
    seen: &'a Ledger,
}

impl Kept<'_> {
    async fn carry(&mut self, bytes: usize) -> Result<()> {
        self.parts.send(vec![b'x'; bytes]).await?;
        let mut read = 0;
        while read < bytes {
            let frame = self.body.frame().await.context("the body goes on")??;
            self.seen.outgoing_frame(&frame);
            read += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
        Ok(())
    }
}

/// Visitors who come until they are told to stop, and count.
struct Coming {
    stop: Arc<AtomicBool>,
    came: Ledger,
    visiting: Task<Result<()>>,
}

impl Coming {
    fn start(visitor: &Visitor, seen: &Ledger) -> Self {
        let (stop, came) = (Arc::new(AtomicBool::new(false)), Ledger::default());
        let (stopped, coming) = (Arc::clone(&stop), came.clone());
        let (visitor, seen) = (visitor.clone(), seen.clone());
        let visiting = Tasks::new("visitors").spawn("visitor", async move {
            let (mut sizes, mut connection) = (Pattern::new(7), visitor.http2().await?);
            while !stopped.load(Ordering::SeqCst) {
                get(&mut connection, &seen, sizes.below(BODY_BYTES_MAX)).await?;
                put(&mut connection, &seen, sizes.below(BODY_BYTES_MAX)).await?;
                coming.request();
            }
            Ok(())
        });
        Self { stop, came, visiting }
    }

    /// Waits for so many more visits.
    async fn came(&self, more: u64) -> Result<()> {
        let enough = self.came.totals().requests + more;
        until("visitors come", BILLED_WITHIN, async || {
            self.came.totals().requests >= enough || self.visiting.is_finished()
        })
        .await
    }

    async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.visiting.await?
    }
}

/// Waits until the bill is what it may be.
async fn agree(stack: &Stack, bills: &Bills) -> Result<()> {
    let begun = Instant::now();
    let mut violations = bills.violations(billed(stack).await?);
    while !violations.is_empty() && begun.elapsed() < BILLED_WITHIN {
        violations = bills.violations(billed(stack).await?);
    }
    assert_eq!(violations, [""; 0]);
    Ok(())
}

/// Waits until the bill says this, and looks once more after it: it must stay so.
async fn billed_as(stack: &Stack, expected: Totals) -> Result<()> {
    let begun = Instant::now();
    while billed(stack).await? != expected {
        let now = billed(stack).await?;
        ensure!(begun.elapsed() < BILLED_WITHIN, "billed {now:?}, seen {expected:?}");
    }
    assert_eq!(billed(stack).await?, expected);
    Ok(())
}

/// What `aditd admin usage` says of the scene's tenant.
async fn billed(stack: &Stack) -> Result<Totals> {
    let rows: Vec<Value> = stack.admin(&["usage", "--tenant", "acme"]).await?;
    let sum = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum();
    Ok(Totals {
        requests: sum("requests"),
        connections: sum("connections"),
        in_bytes: sum("in_bytes"),
        out_bytes: sum("out_bytes"),
    })
}
