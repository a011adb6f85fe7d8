//! Readers that ask for a large body and read no more than its head, and what that does to everybody else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::watch;
use tokio::time::timeout;

use super::crowd::Crowd;
use super::scene::{Done, Errors, Scene, Work};
use super::{bulk, probe};
use crate::figure::{Figures, Metric};
use crate::limits::{HEALTHY_WITHIN, MEMORY_LOOK_EVERY, REQUEST_WITHIN, SETTLED_LOOKS, SETTLED_WITHIN};
use crate::number::{float, growth_mib, mib, micros};
use crate::origin;
use crate::system::Running;
use crate::visitor::{Purpose, Visitor, seconds};

/// Readers that connect at once.
const BATCH: usize = 32;

/// Fills the system, probes it, and brings one download through beside it.
pub async fn run(scene: &Scene, running: &Running, readers: u32) -> Result<Done> {
    let readers = (readers / scene.plan.readers_divided_by).max(1);
    let before = running.memory()?.map(|memory| memory.all_bytes);
    let sent_before = scene.sent_bytes().await?;
    let (stop, stopped) = watch::channel(());
    let load = async {
        let outcome = fill_and_probe(scene, readers, sent_before).await;
        drop(stop);
        outcome
    };
    let (outcome, most) = tokio::join!(load, peak(running, stopped));
    let (mut figures, errors) = outcome?;
    let most = most?;
    let mut growth: Figures = Vec::new();
    if running.has_server() {
        growth.push((Metric::ServerGrowthMib, growth_mib(before[0], most[0])));
    }
    if running.has_agent() {
        growth.push((Metric::AgentGrowthMib, growth_mib(before[1], most[1])));
    }
    growth.append(&mut figures);
    Ok(Done { figures: growth, work: Work::None, trouble: errors.first })
}

async fn fill_and_probe(scene: &Scene, readers: u32, sent_before: u64) -> Result<(Figures, Errors)> {
    let (held, mut errors) = stall(scene, readers).await;
    let sent = settled(scene).await?;
    let seen = probe::start(scene, scene.plan.probes_for)?.await.context("the probes broke")?;
    let begun = Instant::now();
    let healthy = timeout(HEALTHY_WITHIN, bulk::download(scene.clone(), scene.plan.healthy_bytes)).await;
    let rate = mib(scene.plan.healthy_bytes) / begun.elapsed().as_secs_f64();
    drop(held);
    errors.add(seen.errors);
    let mut figures = vec![
        (Metric::AbsorbedMib, mib(sent.saturating_sub(sent_before))),
        (Metric::P99Micros, micros(seen.since_sent.per_mille(990))),
    ];
    match healthy {
        Ok(Ok(())) => figures.push((Metric::BesideMibPerSecond, rate)),
        Ok(Err(error)) => errors.note(&error.context("the download beside the stalled readers")),
        Err(_) => errors.note(&anyhow!(
            "the download beside the stalled readers was not done within {}",
            seconds(HEALTHY_WITHIN)
        )),
    }
    figures.push((Metric::Errors, float(errors.count)));
    Ok((figures, errors))
}

/// The readers, and how many were refused or got nothing.
async fn stall(scene: &Scene, readers: u32) -> (Vec<Visitor>, Errors) {
    let (mut held, mut errors) = (Vec::new(), Errors::default());
    let mut left = usize::try_from(readers).unwrap_or(usize::MAX);
    while left > 0 {
        let mut batch = Crowd::new("stalled");
        let count = left.min(BATCH);
        for _ in 0..count {
            batch.add(reader(scene.clone()));
        }
        left -= count;
        for outcome in batch.outcomes().await {
            match outcome {
                Ok(visitor) => held.push(visitor),
                Err(error) => errors.note(&error),
            }
        }
    }
    (held, errors)
}

async fn reader(scene: Scene) -> Result<Visitor> {
    let mut visitor = scene.target.connect(Purpose::Stall).await?;
    visitor.send(&scene.target.request("GET", &origin::bulk(scene.plan.stalled_bytes), "")).await?;
    tokio::time::timeout(REQUEST_WITHIN, visitor.head()).await.context("a reader got no head")??;
    Ok(visitor)
}

/// What the origin has sent once it can send no more.
async fn settled(scene: &Scene) -> Result<u64> {
    let started = Instant::now();
    let (mut sent, mut same) = (scene.sent_bytes().await?, 0);
    while same < SETTLED_LOOKS && started.elapsed() < SETTLED_WITHIN {
        tokio::time::sleep(scene.plan.settle_every).await;
        let now = scene.sent_bytes().await?;
        same = if now == sent { same + 1 } else { 0 };
        sent = now;
    }
    Ok(sent)
}

/// The most memory of server and agent until the load is over.
async fn peak(running: &Running, mut stopped: watch::Receiver<()>) -> Result<[u64; 2]> {
    let mut most = [0; 2];
    loop {
        let now = running.memory()?.map(|memory| memory.all_bytes);
        most = [most[0].max(now[0]), most[1].max(now[1])];
        let pause: Duration = MEMORY_LOOK_EVERY;
        // The sender is dropped, never used: an error is the end.
        if tokio::time::timeout(pause, stopped.changed()).await.is_ok() {
            return Ok(most);
        }
    }
}
