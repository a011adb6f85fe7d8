//! What is billed is what visitors and upstreams saw, to the byte; a node that is killed loses seconds and doubles nothing.

use std::time::{Duration, Instant};

use adit_e2e::{
    Connection, Counted, Ledger, Pattern, Scene, Side, Stack, Totals, Visitor, empty, full, patterned, text,
    until,
};
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Visitors at once.
const VISITORS: u64 = 6;
/// What each of them does, in a short run and in the full one.
const DOINGS: u64 = 60;
const DOINGS_FULL: u64 = 1_000;
const BODY_BYTES_MAX: u64 = 80_000;

/// Counts are written down every few seconds.
const BILLED_WITHIN: Duration = Duration::from_secs(40);
/// What a node that is killed may lose.
const LOST_MAX: Duration = Duration::from_secs(10);
const KILLS: u64 = 2;
const KILLS_FULL: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_billed_is_what_both_ends_saw() -> Result<()> {
    let scene = Scene::start().await?;
    let seen = Ledger::default();
    let doings = if full() { DOINGS_FULL } else { DOINGS };
    let visits = (0..VISITORS).map(|nth| visit(&scene.visitor, &seen, nth, doings));
    try_join_all(visits).await?;
    assert!(seen.totals().connections > VISITORS && seen.totals().in_bytes > 1_000_000, "{seen:?}");
    billed_as(&scene.stack, seen.totals()).await?;
    until("the origin has seen the same", BILLED_WITHIN, async || {
        scene.origin.ledger().totals() == seen.totals()
    })
    .await?;

    // What the node answers by itself costs nothing.
    let mut connection = scene.visitor.https().await?;
    let mut request = connection.request(Method::GET, "/", empty())?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(&format!("nobody.{}", scene.stack.domain()))?);
    assert_eq!(connection.send(request).await?.status(), StatusCode::NOT_FOUND);
    // And a node that ends in order loses nothing.
    let mut scene = scene;
    let mut last = scene.visitor.http().await?;
    get(&mut last, &seen, 1_000).await?;
    scene.stack.program().signal(adit_e2e::Signal::TERM)?;
    scene.stack.program().end(BILLED_WITHIN).await?;
    assert_eq!(billed(&scene.stack).await?, seen.totals());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_that_break_count_up_to_the_break() -> Result<()> {
    let scene = Scene::start().await?;
    let seen = Ledger::default();
    for (wanted, mut connection) in (1..).zip(scene.visitor.each().await?) {
        let mut body = connection.get("/bytes/50000000?seed=1").await?.into_body();
        seen.request();
        while seen.totals().out_bytes < wanted * 500_000 {
            let frame = body.frame().await.context("the body goes on")??;
            seen.outgoing_frame(&frame);
        }
        drop((body, connection));
    }
    let mut billed_now = Totals::default();
    let begun = Instant::now();
    while billed_now.out_bytes < seen.totals().out_bytes {
        ensure!(begun.elapsed() < BILLED_WITHIN, "{billed_now:?} is less than {:?}", seen.totals());
        billed_now = billed(&scene.stack).await?;
    }
    // Asked last: what passed the node had left the origin before.
    let origin = scene.origin.ledger().totals();
    assert_eq!((billed_now.requests, billed_now.in_bytes), (3, 0));
    assert!(billed_now.out_bytes <= origin.out_bytes, "billed {billed_now:?}, sent {origin:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_loses_seconds_and_counts_nothing_twice() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut done: Vec<(Instant, Totals)> = Vec::new();
    let (seen, mut lost) = (Ledger::default(), 0);
    for seed in 0..if full() { KILLS_FULL } else { KILLS } {
        let before_bytes = seen.totals().out_bytes;
        let mut sizes = Pattern::new(seed);
        let begun = Instant::now();
        // Longer than the interval and not a multiple of it, so that the kill comes anywhere.
        let load_for = LOST_MAX + Duration::from_millis(sizes.below(4_000));
        while begun.elapsed() < load_for {
            let mut connection = scene.visitor.http().await?;
            for _ in 0..20 {
                get(&mut connection, &seen, 1 + sizes.below(BODY_BYTES_MAX)).await?;
                put(&mut connection, &seen, 1 + sizes.below(BODY_BYTES_MAX)).await?;
            }
            done.push((Instant::now(), seen.totals()));
        }
        let killed = Instant::now();
        scene.stack.program().kill().await?;
        scene.stack.start_again().await?;
        scene.agent.event("url_assigned", BILLED_WITHIN * 2).await?;

        let safe = done.iter().rev().find(|(at, _)| killed.duration_since(*at) >= LOST_MAX);
        let at_least = safe.map_or(before_bytes, |(_, totals)| totals.out_bytes).saturating_sub(lost);
        let rows = until_billed(&scene.stack, at_least).await?;
        let at_most = seen.totals();
        assert!(rows.out_bytes + lost <= at_most.out_bytes, "{rows:?}, lost before {lost}, seen {at_most:?}");
        assert!(
            rows.in_bytes <= at_most.in_bytes && rows.requests <= at_most.requests,
            "{rows:?} {at_most:?}"
        );
        // What this kill lost stays lost: the next round is measured beside it.
        lost = at_most.out_bytes - rows.out_bytes;
    }
    // From here on nothing is lost, and what was reported before is not reported on top.
    let base = billed(&scene.stack).await?;
    let mut connection = scene.visitor.http().await?;
    get(&mut connection, &seen, 12_345).await?;
    let expected = Totals { requests: base.requests + 1, out_bytes: base.out_bytes + 12_345, ..base };
    billed_as(&scene.stack, expected).await
}

/// One visitor, who does one thing after another at random.
async fn visit(visitor: &Visitor, seen: &Ledger, nth: u64, doings: u64) -> Result<()> {
    let mut random = Pattern::new(nth);
    let mut connections = visitor.each().await?;
    for _ in 0..doings {
        let at = usize::try_from(random.below(3))?;
        let connection = connections.get_mut(at).context("three connections")?;
        let bytes = random.below(BODY_BYTES_MAX);
        match random.below(9) {
            0 | 1 => get(connection, seen, bytes).await?,
            2 => chunked(connection, seen, bytes).await?,
            3 => head_and_statuses(connection, seen).await?,
            4 | 5 => put(connection, seen, bytes).await?,
            6 => put_unknown_length(connection, seen, bytes).await?,
            7 => echo(visitor.http().await?, seen, bytes).await?,
            _ => websocket(visitor.https().await?, seen, random.below(8)).await?,
        }
    }
    Ok(())
}

async fn get(connection: &mut Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    let answer = connection.get(&format!("/bytes/{bytes}?seed=1")).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    read(answer, seen).await
}

async fn chunked(connection: &mut Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    let answer = connection.get(&format!("/chunked/{bytes}?seed=1")).await?;
    read(answer, seen).await
}

async fn head_and_statuses(connection: &mut Connection, seen: &Ledger) -> Result<()> {
    let request = connection.request(Method::HEAD, "/bytes/1000?seed=1", empty())?;
    let answer = connection.send(request).await?;
    read(answer, seen).await?;
    for path in ["/status/204", "/status/304", "/status/404", "/status/500", "/trailers"] {
        let answer = connection.get(path).await?;
        read(answer, seen).await?;
    }
    Ok(())
}

async fn put(connection: &mut Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    let body = text(Pattern::new(bytes).take(usize::try_from(bytes)?));
    let request = connection.request(Method::PUT, "/upload", body)?;
    seen.incoming(usize::try_from(bytes)?);
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    read(answer, seen).await
}

async fn put_unknown_length(connection: &mut Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    let counted = seen.clone();
    let body = patterned(bytes, bytes).inspect_frame(move |frame| counted.incoming_frame(frame)).boxed();
    let request = connection.request(Method::POST, "/upload", body)?;
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    read(answer, seen).await
}

async fn read(answer: http::Response<hyper::body::Incoming>, seen: &Ledger) -> Result<()> {
    seen.request();
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        seen.outgoing_frame(&frame?);
    }
    Ok(())
}

/// A protocol of its own, in the clear: bytes both ways, and the end.
async fn echo(mut connection: Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    let mut stream = upgrade(&mut connection, "/upgrade", "knock", seen).await?;
    let sent = Pattern::new(bytes).take(usize::try_from(bytes)?);
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut back = Vec::new();
    let write = async {
        write.write_all(&sent).await?;
        write.shutdown().await
    };
    tokio::try_join!(write, async { read.read_to_end(&mut back).await })?;
    ensure!(back == sent, "the echo differs");
    Ok(())
}

async fn websocket(mut connection: Connection, seen: &Ledger, messages: u64) -> Result<()> {
    let stream = upgrade(&mut connection, "/websocket", "websocket", seen).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    for n in 0..messages {
        let sent = Message::binary(Pattern::new(n).take(usize::try_from(n * 7_000)?));
        socket.send(sent.clone()).await?;
        ensure!(socket.next().await.context("a message")?? == sent, "the message differs");
    }
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

async fn upgrade(
    connection: &mut Connection,
    path: &str,
    protocol: &'static str,
    seen: &Ledger,
) -> Result<Counted<TokioIo<hyper::upgrade::Upgraded>>> {
    let mut request = connection.request(Method::GET, path, empty())?;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    headers.insert("sec-websocket-key", HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::SWITCHING_PROTOCOLS, "{}", answer.status());
    seen.request();
    let io = TokioIo::new(hyper::upgrade::on(answer).await?);
    Ok(Counted::new(io, seen.clone(), Side::Visitor))
}

/// Waits until the bill says this, and looks once more after it: it must stay so.
async fn billed_as(stack: &Stack, expected: Totals) -> Result<()> {
    let begun = Instant::now();
    while billed(stack).await? != expected {
        let now = billed(stack).await?;
        ensure!(begun.elapsed() < BILLED_WITHIN, "billed {now:?}, seen {expected:?}");
    }
    assert_eq!(billed(stack).await?, expected);
    Ok(())
}

async fn until_billed(stack: &Stack, out_bytes: u64) -> Result<Totals> {
    let begun = Instant::now();
    loop {
        let now = billed(stack).await?;
        if now.out_bytes >= out_bytes {
            return Ok(now);
        }
        ensure!(begun.elapsed() < BILLED_WITHIN, "{now:?}: more than ten seconds are lost of {out_bytes}");
    }
}

/// What `aditd admin usage` says of the scene's tenant.
async fn billed(stack: &Stack) -> Result<Totals> {
    let rows: Vec<Value> = stack.admin(&["usage", "--tenant", "acme"]).await?;
    let sum = |name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum();
    Ok(Totals {
        requests: sum("requests"),
        connections: sum("connections"),
        in_bytes: sum("in_bytes"),
        out_bytes: sum("out_bytes"),
    })
}
