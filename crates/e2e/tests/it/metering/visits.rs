//! What visitors do, counted by themselves.

use adit_e2e::{Connection, Counted, Ledger, Pattern, Side, Visitor, empty, patterned, text};
use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
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
        match random.below(13) {
            0 | 1 => get(connection, seen, bytes).await?,
            2 => chunked(connection, seen, bytes).await?,
            3 => head_and_statuses(connection, seen).await?,
            4 | 5 => put(connection, seen, bytes).await?,
            6 => put_unknown_length(connection, seen, bytes).await?,
            7 => echo(visitor.http().await?, seen, bytes).await?,
            8 => there_and_back(raw.tcp(seen).await?, bytes).await?,
            9 => there_and_back(raw.tls(seen).await?, bytes).await?,
            10 => call(raw.calls().http2().await?, seen, bytes).await?,
            11 => {
                let mut connection = visitor.http2().await?;
                let stream = websocket_in_http2(&mut connection, seen).await?;
                websocket(stream, random.below(8)).await?;
            }
            _ => {
                let mut connection = visitor.https().await?;
                let stream = upgrade(&mut connection, "/websocket", "websocket", seen).await?;
                websocket(stream, random.below(8)).await?;
            }
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

pub(super) async fn read(answer: http::Response<hyper::body::Incoming>, seen: &Ledger) -> Result<()> {
    seen.request();
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        seen.outgoing_frame(&frame?);
    }
    Ok(())
}

/// A protocol of its own, in the clear: bytes both ways, and the end.
async fn echo(mut connection: Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    there_and_back(upgrade(&mut connection, "/upgrade", "knock", seen).await?, bytes).await
}

/// To the end of both directions, so that both ends have seen the same.
async fn there_and_back(stream: impl AsyncRead + AsyncWrite, bytes: u64) -> Result<()> {
    let sent = Pattern::new(bytes).take(usize::try_from(bytes)?);
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut back = Vec::new();
    let write = async {
        writing.write_all(&sent).await?;
        writing.shutdown().await
    };
    tokio::try_join!(write, reading.read_to_end(&mut back))?;
    ensure!(back == sent, "{} bytes came back of {}", back.len(), sent.len());
    Ok(())
}

/// A body that comes back while it is sent, from an upstream that speaks HTTP/2; every other one is a call of gRPC.
async fn call(mut connection: Connection, seen: &Ledger, bytes: u64) -> Result<()> {
    let counted = seen.clone();
    let body = patterned(bytes, bytes).inspect_frame(move |frame| counted.incoming_frame(frame)).boxed();
    let mut request = connection.request(Method::POST, "/test/Echo", body)?;
    if bytes.is_multiple_of(2) {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    read(answer, seen).await
}

async fn websocket(stream: impl AsyncRead + AsyncWrite + Unpin, messages: u64) -> Result<()> {
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

/// A stream of a WebSocket that is one of HTTP/2 (RFC 8441). After a first answer it is known that there are such.
pub(super) async fn websocket_in_http2(connection: &mut Connection, seen: &Ledger) -> Result<Changed> {
    get(connection, seen, 10).await?;
    let mut request = connection.request(Method::CONNECT, "/websocket", empty())?;
    request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    changed(answer, seen).await
}

/// A connection that has changed its protocol.
pub(super) type Changed = Counted<TokioIo<Upgraded>>;

/// To whatever protocol is asked for, in the clear.
pub(super) async fn upgrade(
    connection: &mut Connection,
    path: &str,
    protocol: &'static str,
    seen: &Ledger,
) -> Result<Changed> {
    let mut request = connection.request(Method::GET, path, empty())?;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    headers.insert("sec-websocket-key", HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    let answer = connection.send(request).await?;
    ensure!(answer.status() == StatusCode::SWITCHING_PROTOCOLS, "{}", answer.status());
    changed(answer, seen).await
}

async fn changed(answer: http::Response<hyper::body::Incoming>, seen: &Ledger) -> Result<Changed> {
    seen.request();
    let io = TokioIo::new(hyper::upgrade::on(answer).await?);
    Ok(Counted::new(io, seen.clone(), Side::Visitor))
}
