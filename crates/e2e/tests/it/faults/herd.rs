//! F17: agents that lose their server at the same moment do not come back at the same moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use adit_e2e::{Agent, Home, Origin, Scene, Visitor, full};
use adit_testkit::ledger::{Slowdown, slower};
use anyhow::{Context as _, Result, ensure};

use super::promises::{HERD_BACK, busy};

/// Programs, each with four connections: as many agents as this many programs make is what a node meets.
const HERD: usize = 24;
/// With four connections each, a thousand sessions.
const HERD_FULL: usize = 250;

/// Endpoints that a tenant may have.
const PER_TENANT: usize = 100;

/// All of them, in a build that is not optimised, on a machine that has other things to do.
const BACK_WITHIN: Duration = Duration::from_secs(150);

/// How often somebody asks who is served already, and how long before the fault.
const ASKED_EVERY: Duration = Duration::from_millis(5);
const LOOKED_AT_FOR: Duration = Duration::from_secs(3);

/// Of the slowest hundredth of the answers, while all others come back.
const BESIDE_A_HERD: Slowdown = Slowdown { percent_max: 200, noise: Duration::from_secs(1) };

const HOUR_MS: u64 = 3_600_000;

/// Prefaces of agents that a node checks at once after a pause, and in a second.
const AT_ONCE: u64 = 500;
const A_SECOND: u64 = 100;

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
    let (usual, ()) = asks_until(&scene.visitor, lasts()).await?;
    scene.stack.program().kill().await?;
    // Everyone tries, in vain, and more than once.
    for _ in 0..2 {
        for member in &mut herd {
            member.agent.event("disconnected", BACK_WITHIN).await?;
        }
    }
    scene.stack.start_again().await?;
    let begun = Instant::now();
    // Who is back already is served while the others come.
    scene.agent.event("url_assigned", BACK_WITHIN).await?;
    let all_back = async {
        for member in &mut herd {
            member.agent.event("url_assigned", BACK_WITHIN).await?;
        }
        Ok(begun.elapsed())
    };
    let (meanwhile, took) = asks_until(&scene.visitor, all_back).await?;
    ensure!(took <= busy(HERD_BACK), "all are back only after {took:?}");
    spread(&herd)?;
    paced(&scene.stack.program().log())?;
    assert_eq!(slower(&usual, &meanwhile, BESIDE_A_HERD), None);
    // Who was there before is served as before, and so is the last of the herd.
    assert_eq!(scene.visitor.https().await?.download("/bytes/1000?seed=1").await?.bytes, 1_000);
    let last = herd.last_mut().context("a herd")?;
    let visitor = adit_e2e::Visitor::new(&scene.stack, &last.hostname)?;
    assert_eq!(visitor.https().await?.download("/bytes/1000?seed=1").await?.bytes, 1_000);
    assert!(!scene.stack.program().log().contains("panicked"));
    Ok(())
}

/// A node lets no more in than it says, however many come.
fn paced(log: &str) -> Result<()> {
    let connected = log.lines().filter(|line| line.contains("agent connected"));
    let times: Vec<u64> = connected.map(millis).collect::<Result<_>>()?;
    let first = *times.first().context("nobody came")?;
    for (nth, at) in times.iter().enumerate() {
        // Another hour may begin meanwhile.
        let since = (at + HOUR_MS - first) % HOUR_MS;
        let most = AT_ONCE + A_SECOND * (since + 1_000) / 1_000;
        ensure!(nth as u64 <= most, "{nth} agents were let in within {since} ms");
    }
    Ok(())
}

/// Since the begin of the hour, of a line that begins like `2026-01-02T03:04:05.678901Z`.
fn millis(line: &str) -> Result<u64> {
    let digits =
        |range: std::ops::Range<usize>| line.get(range).and_then(|digits| digits.parse::<u64>().ok());
    let [minutes, seconds, millis] = [14..16, 17..19, 20..23].map(digits);
    let time = minutes.zip(seconds).zip(millis);
    let ((minutes, seconds), millis) = time.with_context(|| format!("no time: {line}"))?;
    Ok((minutes * 60 + seconds) * 1_000 + millis)
}

#[test]
fn agents_that_are_let_in_too_fast_are_found() -> Result<()> {
    let line = |nth: u64, every_ms: u64| {
        let at = nth * every_ms;
        format!("2026-01-02T03:04:{:02}.{:03}000Z INFO agent connected\n", at / 1_000, at % 1_000)
    };
    let log = |agents: u64, every_ms| (0..agents).map(|nth| line(nth, every_ms)).collect::<String>();
    paced(&log(500, 0))?;
    paced(&log(2_000, 8))?;
    paced("2026-01-02T03:59:59.900000Z agent connected\n2026-01-02T04:00:00.100000Z agent connected\n")?;
    assert!(paced(&log(2_000, 6)).is_err());
    assert!(paced(&log(700, 0)).is_err());
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

/// How long small answers take to a visitor who asks until something has happened.
async fn asks_until<T>(
    visitor: &Visitor,
    happens: impl Future<Output = Result<T>>,
) -> Result<(Vec<Duration>, T)> {
    let mut happens = std::pin::pin!(happens);
    let (mut connection, mut times) = (visitor.https().await?, Vec::new());
    let mut beats = tokio::time::interval(ASKED_EVERY);
    loop {
        beats.tick().await;
        let begun = Instant::now();
        tokio::select! {
            happened = happens.as_mut() => return Ok((times, happened?)),
            answered = connection.download("/bytes/1000?seed=1") => {
                answered?;
                times.push(begun.elapsed());
            }
        }
    }
}

/// How long it is looked at how fast answers usually are.
async fn lasts() -> Result<()> {
    let mut beats = tokio::time::interval(LOOKED_AT_FOR);
    beats.tick().await;
    beats.tick().await;
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
