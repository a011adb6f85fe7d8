//! F19 and F21: many visitors who read slowly, or not at all.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use adit_e2e::{Scene, full, until, within};
use adit_testkit::ledger::{Slack, Slowdown};
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const SLOW: usize = 60;
const SLOW_FULL: usize = 500;
/// What each asks for, and reads in a second.
const ASKED_BYTES: u64 = 100_000_000;
const READ_BYTES: usize = 1_000;
const READ_FOR_S: u64 = 4;
const READ_FOR_S_FULL: u64 = 30;
/// A stream's window, and the rest of a connection; and for all of them what a process grows by that does something at all.
const SLOW_READER_BYTES_MAX: u64 = (256 + 64) * 1024;
const SLOW_READERS_BYTES: u64 = 24 * 1024 * 1024;

const IDLE: usize = 800;
const IDLE_FULL: usize = 10_000;
const ACTIVE: usize = 20;
const ACTIVE_FULL: usize = 200;
/// A connection that is idle, soon after its last answer.
const IDLE_BYTES_MAX: u64 = 20 * 1024;
/// Connections from one source address.
const PER_ADDRESS: usize = 50;

/// What the server may still hold when all have gone.
const SLACK: Slack = Slack { descriptors: 24, threads: 24, resident_bytes: 256 * 1024 * 1024 };
const STEP_WITHIN: Duration = Duration::from_mins(3);

/// How many downloads of one visitor say how fast the endpoint can be, when the machine has nothing else to do for a moment.
const DOWNLOADS: usize = 8;

/// How long the machine is waited for to have such a moment.
const MOMENT_WITHIN: Duration = Duration::from_secs(30);

/// Four fifths of the speed.
const HEAD_OF_LINE: Slowdown = Slowdown { percent_max: 125, noise: Duration::from_millis(15) };

/// How often answers are looked at; the best time counts, for the same reason.
const LOOKS: usize = 5;

/// Beside an idle crowd.
const BESIDE_A_CROWD: Slowdown = Slowdown { percent_max: 150, noise: Duration::from_millis(20) };

/// F19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_hold_little_and_nobody_up() -> Result<()> {
    let (slow, seconds) = if full() { (SLOW_FULL, READ_FOR_S_FULL) } else { (SLOW, READ_FOR_S) };
    let mut scene = Scene::start().await?;
    let before_they_come = fastest(&scene).await?;
    let before = scene.stack.program().held()?;

    let target = scene.stack.http();
    let host = scene.visitor.http_authority();
    let ask = format!("GET /bytes/{ASKED_BYTES}?seed=2 HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let mut readers = try_join_all((0..slow).map(|nth| visit(target, nth, &ask))).await?;
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..seconds {
        beats.tick().await;
        for reader in &mut readers {
            let mut some = [0; READ_BYTES];
            within("a slow reader reads", STEP_WITHIN, reader.read_exact(&mut some)).await??;
        }
    }
    let during = best(most(before_they_come, HEAD_OF_LINE), async || fastest(&scene).await).await?;
    let held = scene.stack.program().held()?;
    let grown = held.resident_bytes.saturating_sub(before.resident_bytes);
    let most_bytes = SLOW_READERS_BYTES + slow as u64 * SLOW_READER_BYTES_MAX;
    assert!(grown <= most_bytes, "{} KiB for {slow} readers", grown / 1024);
    drop(readers);
    let usual = before_they_come.max(fastest(&scene).await?);
    assert!(during <= most(usual, HEAD_OF_LINE), "{during:?}, and usually {usual:?}");
    scene.stack.program().gives_back(before, SLACK).await
}

/// F21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_is_idle_costs_little() -> Result<()> {
    let (idle, active) = if full() { (IDLE_FULL, ACTIVE_FULL) } else { (IDLE, ACTIVE) };
    let mut scene = Scene::start().await?;
    let before_they_come = p99(&scene, active).await?;
    let before = scene.stack.program().held()?;

    let target = scene.stack.http();
    let ask = format!("GET /bytes/10?seed=3 HTTP/1.1\r\nhost: {}\r\n\r\n", scene.visitor.http_authority());
    let mut crowd = Vec::new();
    while crowd.len() < idle {
        let some = crowd.len()..(crowd.len() + 100).min(idle);
        let arrived = try_join_all(some.map(|nth| visit(target, nth, &ask))).await?;
        crowd.extend(try_join_all(arrived.into_iter().map(answered)).await?);
    }
    let held = scene.stack.program().held()?;
    ensure!(held.descriptors >= idle as u64, "only {} are there", held.descriptors);
    let mut grown = u64::MAX;
    let rests = until("idle connections rest", STEP_WITHIN, || {
        let held = scene.stack.program().held();
        grown = held.map_or(grown, |held| held.resident_bytes.saturating_sub(before.resident_bytes));
        std::future::ready(grown <= idle as u64 * IDLE_BYTES_MAX)
    });
    rests.await.with_context(|| format!("{} KiB for {idle} connections", grown / 1024))?;
    let during = best(most(before_they_come, BESIDE_A_CROWD), async || p99(&scene, active).await).await?;
    drop(crowd);
    let usual = before_they_come.max(p99(&scene, active).await?);
    assert!(during <= most(usual, BESIDE_A_CROWD), "{during:?}, and usually {usual:?}");
    scene.stack.program().gives_back(before, SLACK).await
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<Duration> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed())
}

/// How long something may take that usually takes so long.
fn most(usual: Duration, may: Slowdown) -> Duration {
    usual * may.percent_max / 100 + may.noise
}

/// The best of times, looked at until one is good enough: what else the machine does only adds to them.
async fn best(enough: Duration, mut look: impl AsyncFnMut() -> Result<Duration>) -> Result<Duration> {
    let (begun, mut best) = (Instant::now(), Duration::MAX);
    while best > enough && begun.elapsed() < MOMENT_WITHIN {
        best = best.min(look().await?);
    }
    Ok(best)
}

/// The shortest time that a large body takes.
async fn fastest(scene: &Scene) -> Result<Duration> {
    let mut connection = scene.visitor.https().await?;
    let mut fastest = Duration::MAX;
    for _ in 0..DOWNLOADS {
        fastest = fastest.min(timed(connection.download("/bytes/40000000?seed=1")).await?);
    }
    Ok(fastest)
}

/// The smallest of several slowest hundredths.
async fn p99(scene: &Scene, visitors: usize) -> Result<Duration> {
    let mut smallest = Duration::MAX;
    for _ in 0..LOOKS {
        let mut times = answers(scene, visitors).await?;
        times.sort_unstable();
        let slow = times.get(times.len() * 99 / 100).context("no answers")?;
        smallest = smallest.min(*slow);
    }
    Ok(smallest)
}

/// How long the answers take that so many visitors get at the same time, ten each.
async fn answers(scene: &Scene, visitors: usize) -> Result<Vec<Duration>> {
    let visits = (0..visitors).map(|_| async {
        let mut connection = scene.visitor.http().await?;
        let mut times = Vec::new();
        for _ in 0..10 {
            times.push(timed(connection.download("/bytes/1000?seed=4")).await?);
        }
        anyhow::Ok(times)
    });
    Ok(try_join_all(visits).await?.concat())
}

/// Connects from an address of its own, with little room for what comes, and asks.
async fn visit(target: SocketAddr, nth: usize, ask: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 * 1024)?;
    let address = u8::try_from(nth / PER_ADDRESS).context("too many")?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 1, address.max(1)), 0)))?;
    let mut stream = within("a connection", STEP_WITHIN, socket.connect(target)).await??;
    stream.write_all(ask.as_bytes()).await?;
    Ok(stream)
}

/// A connection whose first answer has come: idle from now on.
async fn answered(mut stream: TcpStream) -> Result<TcpStream> {
    let read = async {
        let mut answer = Vec::new();
        while !answer.windows(4).any(|at| at == b"\r\n\r\n") || answer.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "no answer");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        Ok(())
    };
    within("an answer", STEP_WITHIN, read).await??;
    Ok(stream)
}
