//! What visitors do, counted by themselves.

use adit_e2e::{Connection, Counted, Ledger, Pattern, Side, Visitor, empty, patterned, text};
use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::raw::Raw;

/// Bytes of the longest body.
pub(super) const BODY_BYTES_MAX: u64 = 80_000;

/// One visitor, who does one thing after another at random.
pub(super) async fn visit(
    visitor: &Visitor,
    raw: &Raw,
    seen: &Ledger,
    (nth, doings): (u64, u64),
) -> Result<()> {
    let mut random = Pattern::new(nth);
    let mut connections = visitor.each().await?;
    for _ in 0..doings {
        let at = usize::try_from(random.below(3))?;
        let connection = connections.get_mut(at).context("three connections")?;
        let bytes = random.below(BODY_BYTES_MAX);
        match random.below(11) {
            0 | 1 => get(connection, seen, bytes).await?,
            2 => chunked(connection, seen, bytes).await?,
            3 => head_and_statuses(connection, seen).await?,
            4 | 5 => put(connection, seen, bytes).await?,
            6 => put_unknown_length(connection, seen, bytes).await?,
            7 => echo(visitor.http().await?, seen, bytes).await?,
            8 => raw.tcp(seen, bytes).await?,
            9 => raw.tls(seen, bytes).await?,
            _ => websocket(visitor.https().await?, seen, random.below(8)).await?,
        }
    }
    Ok(())
}

pub(super) async fn get(connection: &mut Connection, seen: &Ledger, bytes: u64) -> Result<()> {
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

pub(super) async fn put(connection: &mut Connection, seen: &Ledger, bytes: u64) -> Result<()> {
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
