//! A steady visitor of one tenant beside a flood at another tenant, which goes ten times beyond its plan.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::crowd::Crowd;
use super::probe;
use super::scene::{Done, Scene, Work, percentiles};
use crate::figure::Metric;
use crate::limits::{FLOOD_EVERY, FLOOD_VISITORS, FLOOD_VISITORS_HELD_MAX, LOOK_EVERY, READY_WITHIN};
use crate::number::float;
use crate::origin::SMALL;
use crate::system::{Flooded, Running, System};
use crate::visitor::{Purpose, Target, Visitor};

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Requests, on connections that are kept for as long as the server keeps them.
    Requests,
    /// Connections, each with a full handshake and one request; those that are taken stay.
    Connections,
}

/// What became of a flood.
#[derive(Default)]
struct Fate {
    served: AtomicU64,
    refused: AtomicU64,
}

/// What a steady visitor saw in one surrounding, in all rounds.
#[derive(Default)]
struct Surrounding {
    seen: probe::Seen,
    refused: u64,
    took: Duration,
}

impl Surrounding {
    async fn probe(&mut self, scene: &Scene) -> Result<()> {
        self.seen.add(probe::start(scene, scene.plan.probes_for)?.await.context("the probes broke")?);
        Ok(())
    }

    /// The flood begins, and is there until the probes are done.
    async fn probe_beside(&mut self, scene: &Scene, flood: Flood, target: &Target) -> Result<()> {
        let fate = Arc::new(Fate::default());
        let mut crowd = Crowd::new("flood");
        let begins = tokio::time::Instant::now();
        for visitor in 0..FLOOD_VISITORS {
            // One after another: a thousand a second, not fifty at once twenty times a second.
            let ticks = interval_at(begins + FLOOD_EVERY * visitor, FLOOD_EVERY * FLOOD_VISITORS);
            crowd.add(flood_on(target.clone(), flood, ticks, Arc::clone(&fate)));
        }
        let started = Instant::now();
        while fate.refused.load(Ordering::Relaxed) == 0 {
            ensure!(started.elapsed() < READY_WITHIN, "nothing of the flood is refused");
            crowd.all_under_way().await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (before, begun) = (fate.refused.load(Ordering::Relaxed), Instant::now());
        self.probe(scene).await?;
        self.refused += fate.refused.load(Ordering::Relaxed) - before;
        self.took += begun.elapsed();
        crowd.all_under_way().await.context("beside the probes")
    }

    fn p99(&self) -> f64 {
        self.seen.since_sent.per_mille(990).as_secs_f64().max(f64::EPSILON)
    }
}

/// Probes alone, beside the flood, and beside the same flood at a server that has nothing to do with the system, in turn:
/// driver, system and flood share the cores, and what that alone costs is not the system's doing.
pub async fn run(scene: &Scene, system: System, running: &Running, flood: Flood) -> Result<Done> {
    let mut flooded: Flooded = system.flooded(running)?;
    flooded.agent.connect(running.site()).await?;
    let (mut alone, mut elsewhere, mut beside) =
        (Surrounding::default(), Surrounding::default(), Surrounding::default());
    for _ in 0..scene.plan.flood_rounds {
        alone.probe(scene).await?;
        elsewhere.probe_beside(scene, flood, &flooded.bystander.target).await.context("elsewhere")?;
        flooded.bystander.program.check()?;
        beside.probe_beside(scene, flood, &flooded.target).await?;
    }

    let mut figures = vec![
        (Metric::P99RatioElsewhere, beside.p99() / elsewhere.p99()),
        (Metric::P99Ratio, beside.p99() / alone.p99()),
    ];
    figures.extend(percentiles(&beside.seen.since_sent));
    figures.push((Metric::RefusedPerSecond, float(beside.refused) / beside.took.as_secs_f64()));
    let mut errors = alone.seen.errors;
    errors.add(elsewhere.seen.errors);
    errors.add(beside.seen.errors);
    figures.push((Metric::Errors, float(errors.count)));
    Ok(Done { figures, work: Work::None, trouble: errors.first })
}

/// Its share of the flood, at the ticks of a clock, whatever becomes of it.
async fn flood_on(target: Target, flood: Flood, mut ticks: Interval, fate: Arc<Fate>) -> Result<()> {
    let request = target.request("GET", SMALL, "");
    // Each keeps to its own moments: who is late by the same stall would else come together ever after.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut held = VecDeque::new();
    loop {
        ticks.tick().await;
        let visitor = if flood == Flood::Requests { held.pop_front() } else { None };
        let outcome = ask(visitor, &target, &request).await;
        let is_served = matches!(outcome, Ok((200, _)));
        let counter = if is_served { &fate.served } else { &fate.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Ok((_, visitor)) = outcome {
            held.push_back(visitor);
        }
        if held.len() > FLOOD_VISITORS_HELD_MAX {
            held.pop_front();
        }
    }
}

/// The status of an answer, and the connection on which it came.
async fn ask(visitor: Option<Visitor>, target: &Target, request: &[u8]) -> Result<(u16, Visitor)> {
    let mut visitor = match visitor {
        Some(visitor) => visitor,
        None => target.connect(Purpose::Small).await?,
    };
    visitor.send(request).await?;
    let status = visitor.status().await?;
    Ok((status, visitor))
}
