//! Small requests without a pause.
//!
//! A closed loop: a connection sends its next request when it has its answer, so the rate is what the system can do, and
//! the times are those at that rate. A request that waits keeps others from being sent; what a steady stream of visitors
//! would see in that moment is for the loads with probes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::crowd::Crowd;
use super::scene::{Done, Errors, Scene};
use crate::figure::Metric;
use crate::histogram::Histogram;
use crate::limits::REQUEST_WITHIN;
use crate::origin::SMALL_BODY;
use crate::visitor::{Purpose, Target, Visitor, seconds};

type Seen = (Histogram, Errors);

/// On kept connections, which are all there before the first request counts.
pub async fn kept(scene: &Scene, connections: u32) -> Result<Done> {
    let request = scene.small_request();
    let mut visitors = Vec::new();
    for _ in 0..connections {
        let mut visitor = scene.target.connect(Purpose::Small).await?;
        within(visitor.exchange(&request, SMALL_BODY)).await?;
        visitors.push(visitor);
    }
    let mut crowd = Crowd::new("requests");
    let started = Instant::now();
    let until = started + scene.plan.requests_for;
    for visitor in visitors {
        crowd.add(on_one(visitor, scene.target.clone(), Arc::clone(&request), until));
    }
    finish(Metric::RequestsPerSecond, started, crowd).await
}

/// Each on a connection of its own, from the first packet to the last byte of the answer.
pub async fn new_connections(scene: &Scene) -> Result<Done> {
    let mut crowd = Crowd::new("connections");
    let started = Instant::now();
    let until = started + scene.plan.requests_for;
    for _ in 0..scene.plan.connecting {
        crowd.add(on_new(scene.target.clone(), scene.last_request(), until));
    }
    finish(Metric::ConnectionsPerSecond, started, crowd).await
}

async fn finish(rate: Metric, started: Instant, crowd: Crowd<Seen>) -> Result<Done> {
    let (mut times, mut errors) = Seen::default();
    for outcome in crowd.outcomes().await {
        let (more, wrong) = outcome?;
        times.add(&more);
        errors.add(wrong);
    }
    ensure!(times.count() > 0, "no request succeeded: {}", errors.first.unwrap_or_default());
    Ok(Done::requests(rate, &times, started.elapsed(), errors))
}

async fn on_one(visitor: Visitor, target: Target, request: Arc<[u8]>, until: Instant) -> Result<Seen> {
    let (mut times, mut errors) = Seen::default();
    let mut visitor = Some(visitor);
    while Instant::now() < until {
        let sent = Instant::now();
        match within(again(&mut visitor, &target, &request)).await {
            Ok(()) => times.record(sent.elapsed()),
            Err(error) => {
                errors.note(&error);
                visitor = None;
                // One that cannot even connect must not take the machine from those that can.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok((times, errors))
}

/// A request on the connection that is there, or else on a new one.
async fn again(visitor: &mut Option<Visitor>, target: &Target, request: &[u8]) -> Result<()> {
    if visitor.is_none() {
        *visitor = Some(target.connect(Purpose::Small).await?);
    }
    visitor.as_mut().context("no connection")?.exchange(request, SMALL_BODY).await
}

async fn on_new(target: Target, request: Arc<[u8]>, until: Instant) -> Result<Seen> {
    let (mut times, mut errors) = Seen::default();
    while Instant::now() < until {
        let begun = Instant::now();
        match within(again(&mut None, &target, &request)).await {
            Ok(()) => times.record(begun.elapsed()),
            Err(error) => {
                errors.note(&error);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok((times, errors))
}

/// The outcome of one exchange, unless it takes too long.
pub async fn within(exchange: impl Future<Output = Result<()>>) -> Result<()> {
    let outcome = tokio::time::timeout(REQUEST_WITHIN, exchange).await;
    outcome.with_context(|| format!("no answer within {}", seconds(REQUEST_WITHIN)))?
}
