//! A steady visitor of one tenant beside a flood at another tenant, which goes ten times beyond its plan.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{MissedTickBehavior, interval};

use super::crowd::Crowd;
use super::probe;
use super::scene::{Done, Scene, Work, percentiles};
use crate::figure::Metric;
use crate::limits::{FLOOD_PER_SECOND, FLOOD_VISITORS, FLOOD_VISITORS_HELD_MAX, LOOK_EVERY, READY_WITHIN};
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

/// What became of the flood.
#[derive(Default)]
struct Fate {
    served: AtomicU64,
    refused: AtomicU64,
}

/// Probes first alone and then beside the flood, in one run, so that the two can be compared.
pub async fn run(scene: &Scene, system: System, running: &Running, flood: Flood) -> Result<Done> {
    let mut flooded: Flooded = system.flooded(running)?;
    flooded.agent.connect(running.site()).await?;
    let alone = probe::start(scene, scene.plan.probes_for)?.await.context("the probes broke")?;
    let fate = Arc::new(Fate::default());
    let mut crowd = Crowd::new("flood");
    for _ in 0..FLOOD_VISITORS {
        crowd.add(flood_on(flooded.target.clone(), flood, Arc::clone(&fate)));
    }
    let started = Instant::now();
    while fate.refused.load(Ordering::Relaxed) == 0 {
        ensure!(started.elapsed() < READY_WITHIN, "nothing of the flood is refused");
        crowd.all_under_way().await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let (before, begun) = (fate.refused.load(Ordering::Relaxed), Instant::now());
    let beside = probe::start(scene, scene.plan.probes_for)?.await.context("the probes broke")?;
    let refused = fate.refused.load(Ordering::Relaxed) - before;
    let took = begun.elapsed().as_secs_f64();
    crowd.all_under_way().await.context("beside the probes")?;
    drop(crowd);

    let p99 = |seen: &probe::Seen| seen.since_sent.per_mille(990).as_secs_f64();
    let mut figures = vec![(Metric::P99Ratio, p99(&beside) / p99(&alone).max(f64::EPSILON))];
    figures.extend(percentiles(&beside.since_sent));
    figures.push((Metric::RefusedPerSecond, float(refused) / took));
    let mut errors = alone.errors;
    errors.add(beside.errors);
    figures.push((Metric::Errors, float(errors.count)));
    Ok(Done { figures, work: Work::None, trouble: errors.first })
}

/// Its share of the flood, at the ticks of a clock, whatever becomes of it.
async fn flood_on(target: Target, flood: Flood, fate: Arc<Fate>) -> Result<()> {
    let request = target.request("GET", SMALL, "");
    let mut ticks = interval(Duration::from_secs(1) * FLOOD_VISITORS / FLOOD_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
