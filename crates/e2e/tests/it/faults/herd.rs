//! F17: agents that lose their server at the same moment do not come back at the same moment.

use std::collections::HashMap;
use std::time::Duration;

use adit_e2e::{Agent, Home, Origin, Scene, full};
use anyhow::{Context as _, Result};

/// Programs, each with four connections: as many agents as this many programs make is what a node meets.
const HERD: usize = 24;
/// With four connections each, a thousand sessions.
const HERD_FULL: usize = 250;

/// Endpoints that a tenant may have.
const PER_TENANT: usize = 100;

/// All of them, in a build that is not optimised, on a machine that has other things to do.
const BACK_WITHIN: Duration = Duration::from_secs(150);

/// Of all tries in the time that nobody answers, no more than this share falls into one part of it.
const BUCKET: u64 = 100;
const BUCKET_PERCENT_MAX: usize = 45;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_that_loses_its_server_comes_back_spread() -> Result<()> {
    let mut scene = Scene::start().await?;
    let origin = Origin::start().await?;
    let mut herd = Vec::new();
    for number in 0..if full() { HERD_FULL } else { HERD } {
        herd.push(Member::start(&scene, &origin, number).await?);
    }
    for member in &mut herd {
        member.agent.event("url_assigned", BACK_WITHIN).await?;
    }
    scene.stack.program().kill().await?;
    // Everyone tries, in vain, and more than once.
    for _ in 0..2 {
        for member in &mut herd {
            member.agent.event("disconnected", BACK_WITHIN).await?;
        }
    }
    scene.stack.start_again().await?;
    for member in &mut herd {
        member.agent.event("url_assigned", BACK_WITHIN).await?;
    }
    spread(&herd)?;
    // Who was there before is served as before, and so is the last of the herd.
    scene.agent.event("url_assigned", BACK_WITHIN).await?;
    assert_eq!(scene.visitor.https().await?.download("/bytes/1000?seed=1").await?.bytes, 1_000);
    let last = herd.last_mut().context("a herd")?;
    let visitor = adit_e2e::Visitor::new(&scene.stack, &last.hostname)?;
    assert_eq!(visitor.https().await?.download("/bytes/1000?seed=1").await?.bytes, 1_000);
    assert!(!scene.stack.program().log().contains("panicked"));
    Ok(())
}

/// The first wait of each, below half a second: full jitter leaves no tenth of a second to half of them.
fn spread(herd: &[Member]) -> Result<()> {
    let mut buckets: HashMap<u64, usize> = HashMap::new();
    for member in herd {
        let waits = member.agent.seen().iter().filter_map(|event| event["retry_in_ms"].as_u64());
        let first = waits.into_iter().next().context("a wait")?;
        *buckets.entry(first / BUCKET).or_default() += 1;
    }
    let largest = buckets.values().max().context("a bucket")?;
    assert!(largest * 100 <= herd.len() * BUCKET_PERCENT_MAX, "they come back together: {buckets:?}");
    Ok(())
}

struct Member {
    agent: Agent,
    hostname: String,
    _home: Home,
}

impl Member {
    async fn start(scene: &Scene, origin: &Origin, number: usize) -> Result<Self> {
        let tenant = format!("herd-{}", number / PER_TENANT);
        let key = match number % PER_TENANT {
            0 => scene.stack.tenant(&tenant).await?,
            _ => scene.stack.key(&tenant, &format!("key-{number}")).await?,
        };
        let home = Home::new(&scene.stack, &key)?;
        let name = format!("herd-{number}");
        let agent = home.http(&origin.port(), Some(&name))?;
        Ok(Self { agent, hostname: format!("{name}.{}", scene.stack.domain()), _home: home })
    }
}
