//! F20: upstreams that refuse, close early, say nothing, or never end.

use std::time::Duration;

use adit_e2e::{Mood, RawOrigin, Scene, full, head_of, within};
use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::place::{Place, Way};

const NOTICED_WITHIN: Duration = Duration::from_secs(40);

/// What of an endless body its visitor reads.
const READ_BYTES: usize = 8 * 1024 * 1024;
/// What the server may hold of it beside.
const HELD_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// Whatever it does, the visitor is told, and nothing short looks whole. The neighbour does not notice.
#[tokio::test]
async fn an_upstream_misbehaves_in_every_way() -> Result<()> {
    let mut place = Place::start_with(adit_e2e::Options::default(), Way::Loopback).await?;
    place.ledger.spare('b');
    for _ in 0..if full() { 10 } else { 1 } {
        for mood in
            [Mood::ClosesAtOnce, Mood::ClosesInTheHead, Mood::ClosesInTheBody, Mood::Resets, Mood::Babbles]
        {
            place.fault(&format!("the upstream is in another mood: {mood:?}"));
            place.upstream_is(mood);
            place.carried(12).await?;
            place.upstream_is(Mood::Well);
            place.carried(6).await?;
        }
    }
    place.judge().await
}

/// The visitor leaves, and the upstream is told: it does not talk on into nowhere. Nothing piles up meanwhile.
#[tokio::test]
async fn an_upstream_without_an_end_ends_with_its_visitor() -> Result<()> {
    let (left, mut leaving) = watch::channel(0);
    let origin = RawOrigin::start(move |mut stream| {
        let left = left.clone();
        async move {
            head_of(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
            left.send_modify(|left| *left += 1);
            Ok(())
        }
    })
    .await?;
    let mut scene = Scene::start_with(&origin.port()).await?;
    let before = scene.stack.program().held()?.resident_bytes;
    for (nth, mut connection) in (1..).zip(scene.visitor.each().await?) {
        let mut body = connection.get("/").await?.into_body();
        let mut read = 0;
        while read < READ_BYTES {
            let frame =
                within("the body goes on", NOTICED_WITHIN, body.frame()).await?.context("no end")??;
            read += frame.data_ref().map_or(0, bytes_of);
        }
        drop((body, connection));
        within("the upstream is told", NOTICED_WITHIN, leaving.wait_for(|left| *left == nth)).await??;
    }
    let after = scene.stack.program().held()?.resident_bytes;
    assert!(after < before + HELD_BYTES_MAX, "{before} bytes, then {after}");
    Ok(())
}

/// How long it may say nothing is the plan's affair. A visitor who has enough before leaves, and the upstream is told.
#[tokio::test]
async fn an_upstream_that_says_nothing_is_left_with_its_visitor() -> Result<()> {
    let (told, mut telling) = watch::channel("nothing");
    let origin = RawOrigin::start(move |mut stream| {
        let told = told.clone();
        async move {
            head_of(&mut stream).await?;
            told.send_replace("asked");
            // In good order or not.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            told.send_replace("left");
            Ok(())
        }
    })
    .await?;
    let scene = Scene::start_with(&origin.port()).await?;
    let mut stream = scene.visitor.tcp().await?;
    let host = scene.visitor.http_authority();
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    within("the upstream is asked", NOTICED_WITHIN, telling.wait_for(|told| *told == "asked")).await??;
    // Reset: who only ends its side still gets its answer.
    stream.set_zero_linger()?;
    drop(stream);
    within("the upstream is told", NOTICED_WITHIN, telling.wait_for(|told| *told == "left")).await??;
    Ok(())
}

fn bytes_of(data: &bytes::Bytes) -> usize {
    data.len()
}
