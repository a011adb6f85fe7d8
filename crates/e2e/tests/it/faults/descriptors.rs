//! F18: the server cannot open one descriptor more.

use std::time::Duration;

use adit_e2e::{Options, Scene, Stack, within};
use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::place::{Place, Way};

/// What a loop that spins takes all of.
const LOOKED_FOR: Duration = Duration::from_secs(3);
/// A fifth of it.
const WORKED_MAX: Duration = Duration::from_millis(600);
const ANSWERED_WITHIN: Duration = Duration::from_secs(40);
const STRANGERS: usize = 40;

#[tokio::test]
async fn connections_that_are_there_go_on_without_a_descriptor_to_spare() -> Result<()> {
    let mut place = Place::start_with(Options::default(), Way::Loopback).await?;
    place.ledger.spare('a');
    place.ledger.spare('b');
    place.carried(12).await?;
    let open = place.stack.program().held()?.descriptors;
    place.stack.program().limit_descriptors(Some(open))?;
    place.fault("not one descriptor more");
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        strangers.push(TcpStream::connect(place.stack.http()).await?);
    }
    place.carried(20).await?;
    drop(strangers);
    place.stack.program().limit_descriptors(None)?;
    place.ledger.note("descriptors again");
    place.newcomers_are_served().await?;
    place.judge().await
}

/// Those who came meanwhile wait in the kernel, and the loop that cannot accept them waits, too.
#[tokio::test]
async fn a_server_that_cannot_accept_does_not_spin() -> Result<()> {
    let mut scene = Scene::start_on(Stack::start().await?).await?;
    scene.visitor.https().await?.download("/bytes/1000?seed=1").await?;
    let open = scene.stack.program().held()?.descriptors;
    scene.stack.program().limit_descriptors(Some(open.saturating_sub(1)))?;
    let mut waiting = Vec::new();
    for _ in 0..STRANGERS {
        let mut stream = TcpStream::connect(scene.stack.http()).await?;
        let request =
            format!("GET /bytes/10?seed=1 HTTP/1.1\r\nhost: {}\r\n\r\n", scene.visitor.http_authority());
        stream.write_all(request.as_bytes()).await?;
        waiting.push(stream);
    }
    let before = scene.stack.program().worked()?;
    let mut beats = tokio::time::interval(LOOKED_FOR);
    beats.tick().await;
    beats.tick().await;
    let worked = scene.stack.program().worked()?.saturating_sub(before);
    assert!(worked < WORKED_MAX, "{worked:?} of {LOOKED_FOR:?}");
    let said = scene.stack.program().log();
    let failures = said.lines().filter(|line| line.contains("cannot accept")).count();
    assert!((1..20).contains(&failures), "said {failures} times");
    scene.stack.program().limit_descriptors(None)?;
    for mut stream in waiting {
        let mut first = [0; 12];
        within("an answer", ANSWERED_WITHIN, stream.read_exact(&mut first)).await??;
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    Ok(())
}
