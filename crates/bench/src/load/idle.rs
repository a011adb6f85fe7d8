//! Memory of connections that do nothing.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::requests::within;
use super::scene::{Done, Errors, Scene, Work};
use crate::figure::Metric;
use crate::limits::{SETTLED_LOOKS, SETTLED_WITHIN};
use crate::measure::{Memory, connections_taken};
use crate::number::float;
use crate::origin::SMALL_BODY;
use crate::system::{Running, System};
use crate::visitor::Purpose;

/// Memory that counts as no change: what allocators and timers move anyway.
const STILL_BYTES: u64 = 64 * 1024;

/// Visitors after one request each. At the end every connection must still bring an answer.
pub async fn visitors(scene: &Scene, running: &Running) -> Result<Done> {
    let before = settled(scene, running).await?;
    let request = scene.small_request();
    let mut held = Vec::new();
    for _ in 0..scene.plan.idle_visitors {
        let mut visitor = scene.target.connect(Purpose::Small).await?;
        within(visitor.exchange(&request, SMALL_BODY)).await?;
        held.push(visitor);
    }
    let after = settled(scene, running).await?;
    let mut errors = Errors::default();
    for visitor in &mut held {
        if let Err(error) = within(visitor.exchange(&request, SMALL_BODY)).await {
            errors.note(&error);
        }
    }
    let mut figures = Vec::new();
    let count = held.len() as u64;
    let kib = |part: usize| kib_each(before[part].all_bytes, after[part].all_bytes, count);
    if running.has_server() {
        figures.push((Metric::ServerKibEach, kib(0)));
    }
    if running.has_agent() {
        figures.push((Metric::AgentKibEach, kib(1)));
    }
    figures.push((Metric::Errors, float(errors.count)));
    Ok(Done { figures, work: Work::None, trouble: errors.first })
}

/// Agents besides the one that is there. An agent may hold several connections: they are counted at the server's port.
pub async fn agents(scene: &Scene, system: System, running: &mut Running) -> Result<Done> {
    let port = running.agents_dial().context("agents have nowhere to connect")?.port();
    let before = settled(scene, running).await?;
    let connections_before = connections_taken(port)?;
    let mut fleet = system.fleet(running, scene.plan.idle_agents)?;
    fleet.connect(running.site()).await?;
    let after = settled(scene, running).await?;
    let connections = connections_taken(port)?.saturating_sub(connections_before);
    fleet.check()?;
    running.check()?;
    ensure!(connections > 0, "the server holds no connection for them");
    let agents = fleet.count() as u64;
    let kib = |count| kib_each(before[0].own_bytes, after[0].own_bytes, count);
    let figures = vec![
        (Metric::ServerKibPerConnection, kib(connections)),
        (Metric::ServerKibEach, kib(agents)),
        (Metric::ConnectionsEach, float(connections) / float(agents)),
    ];
    Ok(Done { figures, work: Work::None, trouble: None })
}

/// Memory of server and agent once it stands still.
async fn settled(scene: &Scene, running: &Running) -> Result<[Memory; 2]> {
    let started = Instant::now();
    let (mut last, mut same) = (running.memory()?, 0);
    while same < SETTLED_LOOKS && started.elapsed() < SETTLED_WITHIN {
        tokio::time::sleep(scene.plan.settle_every).await;
        let now = running.memory()?;
        let still = (0..2).all(|part| now[part].all_bytes.abs_diff(last[part].all_bytes) <= STILL_BYTES);
        same = if still { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn kib_each(before: u64, after: u64, count: u64) -> f64 {
    (float(after) - float(before)) / 1024.0 / float(count.max(1))
}
