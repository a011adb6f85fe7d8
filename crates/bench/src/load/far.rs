//! One stream over a far link. What the link really adds is measured first, with small requests.

use std::time::Instant;

use anyhow::Result;

use super::bulk;
use super::requests::within;
use super::scene::{Done, Scene};
use crate::figure::Metric;
use crate::histogram::Histogram;
use crate::number::micros;
use crate::origin::SMALL_BODY;
use crate::visitor::Purpose;

/// Small requests of which the median is the round trip.
const PINGS: u32 = 11;

/// From the origin.
pub async fn download(scene: &Scene) -> Result<Done> {
    let round_trip = round_trip(scene).await?;
    let mut done = bulk::downloads(scene, 1, scene.plan.far_bytes).await?;
    done.figures.push(round_trip);
    Ok(done)
}

/// To the origin.
pub async fn upload(scene: &Scene) -> Result<Done> {
    let round_trip = round_trip(scene).await?;
    let mut done = bulk::upload(scene, scene.plan.far_bytes).await?;
    done.figures.push(round_trip);
    Ok(done)
}

async fn round_trip(scene: &Scene) -> Result<(Metric, f64)> {
    let request = scene.small_request();
    let mut visitor = scene.target.connect(Purpose::Small).await?;
    let mut times = Histogram::default();
    for _ in 0..PINGS {
        let sent = Instant::now();
        within(visitor.exchange(&request, SMALL_BODY)).await?;
        times.record(sent.elapsed());
    }
    Ok((Metric::RoundTripMillis, micros(times.per_mille(500)) / 1000.0))
}
