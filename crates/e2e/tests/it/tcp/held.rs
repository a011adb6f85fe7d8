//! While its agent is away for a moment an endpoint's port stays open, and whoever connects waits for it.

use std::time::{Duration, Instant};

use adit_e2e::{Agent, RawOrigin, Signal, within};
use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Place, WITHIN, address, assert_closed, assert_reset, exactly, to_end, visit};

/// How long the server waits for an agent that has vanished.
const HOLD: Duration = Duration::from_secs(15);

/// With one connection: when that is gone, so is the agent.
fn start(place: &Place, upstream: &str) -> Result<Agent> {
    place.tcp(upstream, &["--url", "ssh", "--connections", "1"])
}

/// As by a power cut, and the server has noticed.
async fn lose(place: &mut Place, agent: &mut Agent) -> Result<()> {
    agent.program().kill().await?;
    let began = Instant::now();
    while !place.stack.program().log().contains("agent disconnected") {
        anyhow::ensure!(began.elapsed() < WITHIN, "the server does not notice");
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn connections_wait_for_an_agent_that_comes_back() -> Result<()> {
    let mut place = Place::start().await?;
    let speaks_first = RawOrigin::start(|mut stream| async move {
        stream.write_all(b"220 ready\r\n").await?;
        let mut line = Vec::new();
        stream.read_to_end(&mut line).await?;
        stream.write_all(&line).await?;
        Ok(())
    })
    .await?;
    let mut agent = start(&place, &speaks_first.port())?;
    let at = address(&agent.url().await?)?;
    lose(&mut place, &mut agent).await?;
    // One that waits for the banner, and one that has said all it has to say.
    let mut silent = visit(at).await?;
    let mut hasty = visit(at).await?;
    hasty.write_all(b"QUIT\r\n").await?;
    hasty.shutdown().await?;
    let mut back = start(&place, &speaks_first.port())?;
    assert_eq!(address(&back.url().await?)?, at);
    assert_eq!(exactly(&mut silent, 11).await?, b"220 ready\r\n");
    silent.write_all(b"NOOP\r\n").await?;
    silent.shutdown().await?;
    assert_eq!(to_end(&mut silent).await??, b"NOOP\r\n");
    assert_eq!(to_end(&mut hasty).await??, b"220 ready\r\nQUIT\r\n");
    Ok(())
}

#[tokio::test]
async fn connections_wait_for_so_long() -> Result<()> {
    let mut place = Place::start().await?;
    let origin = RawOrigin::echo().await?;
    let mut agent = start(&place, &origin.port())?;
    let at = address(&agent.url().await?)?;
    lose(&mut place, &mut agent).await?;
    let mut waiting = visit(at).await?;
    waiting.write_all(b"ping").await?;
    let asked = Instant::now();
    assert_reset(&to_end(&mut waiting).await?);
    assert!(asked.elapsed() < 2 * HOLD, "{:?}", asked.elapsed());
    assert_closed(at).await
}

#[tokio::test]
async fn nobody_waits_for_an_agent_that_was_stopped_nor_while_the_server_leaves() -> Result<()> {
    let mut place = Place::start().await?;
    let origin = RawOrigin::echo().await?;
    let mut agent = start(&place, &origin.port())?;
    let at = address(&agent.url().await?)?;
    agent.program().signal(Signal::INT)?;
    agent.program().end(WITHIN).await?;
    let gone = Instant::now();
    assert_closed(at).await?;
    assert!(gone.elapsed() < HOLD, "{:?}", gone.elapsed());

    let mut agent = start(&place, &origin.port())?;
    agent.url().await?;
    // A service manager restarts it.
    agent.program().signal(Signal::TERM)?;
    agent.program().end(WITHIN).await?;
    let mut waiting = visit(at).await?;
    let asked = Instant::now();
    place.stack.program().signal(Signal::TERM)?;
    assert_reset(&to_end(&mut waiting).await?);
    place.stack.program().end(WITHIN).await?;
    assert!(asked.elapsed() < HOLD, "{:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn connections_wait_for_an_upstream_that_is_restarted() -> Result<()> {
    let place = Place::start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = listener.local_addr()?;
    let mut agent = start(&place, &upstream.port().to_string())?;
    let at = address(&agent.url().await?)?;
    // It has taken one connection, and is gone.
    let mut first = visit(at).await?;
    let (taken, _) = within("a connection", WITHIN, listener.accept()).await??;
    drop((taken, listener));
    to_end(&mut first).await??;
    let mut waiting = visit(at).await?;
    agent.event("upstream_refused", WITHIN).await?;
    let back = TcpListener::bind(upstream).await?;
    let (mut stream, _) = within("a connection", WITHIN, back.accept()).await??;
    stream.write_all(b"back").await?;
    assert_eq!(exactly(&mut waiting, 4).await?, b"back");
    Ok(())
}
