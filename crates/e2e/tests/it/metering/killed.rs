//! A node is killed while transfers of every kind are on their way, and again a second later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_e2e::{Ledger, Options, Pattern, PortSlot, Scene, Stack, Totals, full};
use anyhow::{Context as _, Result, ensure};
use tokio::time::interval;

use super::raw::Raw;
use super::transfers::Transfers;
use super::visits::get;
use super::{BILLED_WITHIN, Bills, LOST_MAX, agree, billed, billed_as};

const ROUNDS: u64 = 1;
const ROUNDS_FULL: u64 = 15;

/// From the first kill of a round, when all agents are back, to the second one.
const SECOND_KILL_AFTER: Duration = Duration::from_secs(1);

/// How often what both ends have seen is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_in_the_middle_of_transfers_loses_seconds() -> Result<()> {
    let options = Options { ports: Some(PortSlot::take()?), ..Options::default() };
    let scene = Scene::start_on(Stack::start_with(options).await?).await?;
    let raw = Arc::new(Raw::start(&scene).await?);
    let (begun, seen, bills) = (Instant::now(), Ledger::default(), Bills::default());
    let mut node = Node { scene, raw, begun, seen, bills };
    for seed in 0..if full() { ROUNDS_FULL } else { ROUNDS } {
        // Anywhere in the interval at which counts are written down.
        let first = LOST_MAX + Duration::from_millis(Pattern::new(seed).below(4_000));
        for carries_for in [first, SECOND_KILL_AFTER] {
            node.carry(carries_for).await?;
            node.scene.stack.start_again().await?;
            node.scene.agent.event("url_assigned", BILLED_WITHIN * 2).await?;
            Arc::get_mut(&mut node.raw).context("nobody transfers")?.back(BILLED_WITHIN * 2).await?;
        }
        agree(&node.scene.stack, &node.bills).await?;
    }
    // What was lost stays lost, and what is reported late is not reported twice.
    let base = billed(&node.scene.stack).await?;
    get(&mut node.scene.visitor.http().await?, &node.seen, 12_345).await?;
    let expected = Totals { requests: base.requests + 1, out_bytes: base.out_bytes + 12_345, ..base };
    billed_as(&node.scene.stack, expected).await
}

/// A node, and what is carried through it.
struct Node {
    scene: Scene,
    raw: Arc<Raw>,
    begun: Instant,
    seen: Ledger,
    bills: Bills,
}

impl Node {
    /// Carries something for so long, and is killed then.
    async fn carry(&mut self, carries_for: Duration) -> Result<()> {
        let transfers = Transfers::start(&self.scene.visitor, &self.raw, &self.seen);
        let before = self.seen.totals();
        let (until, mut looks) = (self.begun.elapsed() + carries_for, interval(LOOK_EVERY));
        while self.begun.elapsed() < until {
            looks.tick().await;
            self.look();
        }
        let carried = self.seen.totals();
        ensure!(carried.in_bytes > before.in_bytes && carried.out_bytes > before.out_bytes, "{carried:?}");
        ensure!(transfers.cuts().iter().all(|cuts| *cuts == 0), "cut early: {:?}", transfers.cuts());
        self.scene.stack.program().kill().await?;
        transfers.end().await?;
        self.look();
        self.bills.killed(self.begun.elapsed());
        Ok(())
    }

    /// Writes down what both ends have seen by now.
    fn look(&mut self) {
        let (visitors, upstreams) = (self.seen.totals(), self.scene.origin.ledger().totals());
        self.bills.saw(self.begun.elapsed(), visitors, upstreams);
    }
}
