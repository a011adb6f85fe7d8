//! Small requests beside downloads that take what they can get.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::crowd::Crowd;
use super::probe;
use super::scene::{Done, Scene, Work, percentiles};
use crate::figure::Metric;
use crate::limits::{LOOK_EVERY, TRANSFER_WITHIN};
use crate::number::{float, mib, micros};
use crate::origin::bulk;
use crate::visitor::Purpose;

/// Larger than any run takes: the downloads are cut when the probes are done.
const ENDLESS_BYTES: u64 = 1 << 40;

/// The probes begin when every download is under way.
pub async fn run(scene: &Scene, downloads: u32) -> Result<Done> {
    let meters: Vec<Arc<AtomicU64>> = (0..downloads).map(|_| Arc::default()).collect();
    let mut crowd = Crowd::new("beside");
    for meter in &meters {
        crowd.add(endless(scene.clone(), Arc::clone(meter)));
    }
    let bytes = |meter: &Arc<AtomicU64>| meter.load(Ordering::Relaxed);
    let started = Instant::now();
    while meters.iter().map(bytes).any(|bytes| bytes < scene.plan.underway_bytes) {
        ensure!(started.elapsed() < TRANSFER_WITHIN, "a download does not get under way");
        crowd.all_under_way().await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let (before, begun) = (meters.iter().map(bytes).sum::<u64>(), Instant::now());
    let seen = probe::start(scene, scene.plan.probes_for)?.await.context("the probes broke")?;
    let moved = meters.iter().map(bytes).sum::<u64>() - before;
    let took = begun.elapsed().as_secs_f64();
    crowd.all_under_way().await.context("beside the probes")?;
    drop(crowd);

    let mut figures = percentiles(&seen.since_sent).to_vec();
    figures.push((Metric::P99DueMicros, micros(seen.since_due.per_mille(990))));
    if downloads > 0 {
        figures.push((Metric::BesideMibPerSecond, mib(moved) / took));
    }
    figures.push((Metric::Errors, float(seen.errors.count)));
    Ok(Done { figures, work: Work::None, trouble: seen.errors.first })
}

async fn endless(scene: Scene, meter: Arc<AtomicU64>) -> Result<()> {
    let mut visitor = scene.target.connect(Purpose::Bulk).await?;
    visitor.send(&scene.target.request("GET", &bulk(ENDLESS_BYTES), "")).await?;
    let head = visitor.head().await?;
    let count = |bytes| {
        meter.fetch_add(bytes, Ordering::Relaxed);
    };
    visitor.large_body(head, &scene.pattern, count).await
}
