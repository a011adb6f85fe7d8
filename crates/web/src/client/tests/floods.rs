//! Upstreams that flood: the connection to one ends with its exchange, and those to others do not notice.

use std::future::Future;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::super::{Sender, handshake_http2, send};
use crate::body;
use crate::hygiene::Scheme;
use crate::limits::{ClientLimits, H2_PING_POINTS, H2_POINTS_MAX, H2_SETTINGS_POINTS};
use crate::service::Work;

const PATIENCE: Duration = Duration::from_mins(1);
const PIPE_BYTES: usize = 64 * 1024;
pub(super) const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// `:status: 200` out of HPACK's static table (RFC 7541 appendix A).
pub(super) const OK: &[u8] = b"\x88";

pub(super) fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[high, middle, low, kind, flags, 0, 0, 0, stream], body].concat()
}

fn nothing() -> Vec<u8> {
    Vec::new()
}

/// A response that has begun.
fn answered() -> Vec<u8> {
    frame(1, 0x4, 1, OK)
}

/// A head that does not end.
fn begun() -> Vec<u8> {
    frame(1, 0, 1, OK)
}

/// One flood: its name, at most how many frames may be taken, what comes before it, and its frame.
struct Row(&'static str, u32, fn() -> Vec<u8>, fn() -> Vec<u8>);

const ROWS: &[Row] = &[
    Row("PING", H2_POINTS_MAX / H2_PING_POINTS + 100, nothing, || frame(6, 0, 0, &[0; 8])),
    Row("SETTINGS", H2_POINTS_MAX / H2_SETTINGS_POINTS + 100, nothing, || frame(4, 0, 0, &[])),
    Row("PRIORITY", 2_100, nothing, || frame(2, 0, 3, &[0, 0, 0, 0, 1])),
    Row("unknown frames", 2_100, nothing, || frame(0xfa, 0, 0, b"x")),
    Row("WINDOW_UPDATE", 10_500, nothing, || frame(8, 0, 0, &[0, 0, 0, 1])),
    Row("WINDOW_UPDATE of a stream", 10_500, answered, || frame(8, 0, 1, &[0, 0, 0, 1])),
    Row("empty DATA", 1_100, answered, || frame(0, 0, 1, &[])),
    Row("padded DATA", 1_100, answered, || frame(0, 0x8, 1, &[3, 0, 0, 0])),
    Row("empty CONTINUATION", 300, begun, || frame(9, 0, 1, &[])),
    Row("CONTINUATION", 300, begun, || frame(9, 0, 1, b"\x00\x01a\x01b")),
    Row("RST_STREAM", 300, nothing, || frame(3, 0, 1, &[0, 0, 0, 8])),
    // `:status: 103` as a literal.
    Row("interim responses", 100, nothing, || frame(1, 0x4, 1, b"\x08\x03103")),
];

pub(super) async fn connected() -> (Sender, DuplexStream) {
    let (ours, upstream) = duplex(PIPE_BYTES);
    let spawn = |work: Work| drop(tokio::spawn(work));
    let sender = handshake_http2(ours, Scheme::Http, spawn, ClientLimits::default()).await.unwrap();
    (sender, upstream)
}

/// One exchange, up to the last byte of its response.
async fn exchange(sender: &mut Sender) -> Option<StatusCode> {
    let request = Request::get("/").header("host", "a.example").body(body::empty()).unwrap();
    let response = send(sender, request, ClientLimits::default()).await.ok()?;
    let status = response.status();
    response.into_body().collect().await.ok()?;
    Some(status)
}

/// Answers a request on each odd stream as soon as there are bytes of it.
async fn polite(mut upstream: DuplexStream) {
    upstream.write_all(SETTINGS).await.unwrap();
    let mut head = [0; 9];
    upstream.read_exact(&mut [0; 24]).await.unwrap();
    while upstream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        upstream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if head[3] == 1 {
            upstream.write_all(&frame(1, 0x5, head[8], OK)).await.unwrap();
        }
    }
}

/// The request must be there before it is answered: its HEADERS come last.
pub(super) async fn asked(read: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = Vec::new();
    while !bytes.windows(9).any(|head| matches!(head, [_, _, _, 1, _, 0, 0, 0, 1])) {
        assert!(read.read_buf(&mut bytes).await.unwrap() > 0);
    }
}

/// Sends what comes before, and then the flood until the connection takes no more. Says how many frames that were.
async fn flood(upstream: DuplexStream, Row(_, _, before, next): &Row) -> u32 {
    let (mut read, mut write) = tokio::io::split(upstream);
    asked(&mut read).await;
    let drain = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let mut sent = 0;
    if write.write_all(&[SETTINGS, &before()].concat()).await.is_ok() {
        while sent < 100_000 && write.write_all(&next()).await.is_ok() {
            sent += 1;
            tokio::task::yield_now().await;
        }
    }
    drop(write);
    let _ = drain.await;
    sent
}

async fn soon<F: Future>(name: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{name}"))
}

#[tokio::test]
async fn a_flood_ends_its_connection_and_no_other() {
    let (mut neighbour, upstream) = connected().await;
    tokio::spawn(polite(upstream));
    for row @ Row(name, most, _, next) in ROWS {
        let (mut sender, upstream) = connected().await;
        let (sent, status) =
            tokio::join!(soon(name, flood(upstream, row)), soon(name, exchange(&mut sender)));
        assert_eq!(status, None, "{name}");
        // What was on its way when the connection ended is not counted by anybody.
        let on_the_way = u32::try_from(PIPE_BYTES / next().len()).unwrap();
        assert!(sent <= most + on_the_way, "{name}: {sent}");
        assert_eq!(soon(name, exchange(&mut neighbour)).await, Some(StatusCode::OK), "{name}");
    }
}
