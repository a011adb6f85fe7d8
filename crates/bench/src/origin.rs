//! The service that everything is measured against: one thread, HTTP/1.1, bodies from the pattern.
//!
//! `GET /small` is a short text, `GET /bulk/BYTES` a large body, `POST /upload` takes one and answers once it was whole
//! and looked right, `GET /sent` tells how many bytes of large bodies have gone out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::head::value_of;
use crate::limits::{HEAD_BYTES_MAX, READ_BYTES};
use crate::pattern::Pattern;

/// The path of the short text.
pub const SMALL: &str = "/small";
/// The short text.
pub const SMALL_BODY: &[u8] = b"hello, adit!\n";
/// The path that takes a large body.
pub const UPLOAD: &str = "/upload";
/// What it answers.
pub const UPLOAD_BODY: &[u8] = b"ok\n";
/// The path that tells what was sent.
pub const SENT: &str = "/sent";

/// The path of a large body.
pub fn bulk(body_bytes: u64) -> String {
    format!("/bulk/{body_bytes}")
}

/// A listening origin.
#[derive(Debug)]
pub struct Origin {
    listener: TcpListener,
    address: SocketAddr,
}

/// What its connections share.
#[derive(Clone)]
struct Shared {
    pattern: Pattern,
    sent: Arc<AtomicU64>,
}

impl Origin {
    /// Takes a port.
    pub async fn listen() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the origin")?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever.
    pub async fn serve(self) -> Result<()> {
        let tasks = Tasks::new("origin");
        let shared = Shared { pattern: Pattern::new(), sent: Arc::default() };
        loop {
            let (stream, _) = self.listener.accept().await.context("the origin accepts no more")?;
            stream.set_nodelay(true)?;
            // A connection that breaks is the visitor's affair; it will say so.
            drop(tasks.spawn("connection", connection(stream, shared.clone())));
        }
    }
}

/// A request, as far as the origin looks at it.
struct Request {
    method: String,
    path: String,
    body_bytes: u64,
    closes: bool,
}

async fn connection(mut stream: TcpStream, shared: Shared) -> Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    while let Some(request) = next(&mut stream, &mut buffer).await? {
        match request.path.as_str() {
            SMALL => answer(&mut stream, &request, SMALL_BODY).await?,
            SENT => {
                let sent = shared.sent.load(Ordering::Relaxed).to_string();
                answer(&mut stream, &request, sent.as_bytes()).await?;
            }
            UPLOAD if request.method == "POST" => {
                take(&mut stream, &mut buffer, &request, &shared.pattern).await?;
                answer(&mut stream, &request, UPLOAD_BODY).await?;
            }
            path => {
                let bytes = path.strip_prefix("/bulk/").context("an unknown path")?.parse()?;
                send(&mut stream, bytes, &shared).await?;
            }
        }
        if request.closes {
            stream.shutdown().await?;
            return Ok(());
        }
    }
    Ok(())
}

async fn next(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Request>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let request = parse(buffer.get(..end).unwrap_or_default());
            buffer.drain(..end + 4);
            return Ok(Some(request.context("a request that cannot be read")?));
        }
        ensure!(buffer.len() <= HEAD_BYTES_MAX, "a request head that does not end");
        if stream.read_buf(buffer).await? == 0 {
            ensure!(buffer.is_empty(), "a request that was cut");
            return Ok(None);
        }
    }
}

fn parse(head: &[u8]) -> Option<Request> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = std::str::from_utf8(lines.next()?).ok()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, path, body_bytes: 0, closes: false };
    for line in lines {
        if let Some(value) = value_of(line, "content-length") {
            request.body_bytes = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
        } else if let Some(value) = value_of(line, "connection") {
            request.closes |= value.trim_ascii().eq_ignore_ascii_case(b"close");
        }
    }
    Some(request)
}

async fn answer(stream: &mut TcpStream, request: &Request, body: &[u8]) -> Result<()> {
    let close = if request.closes { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{close}\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await?;
    Ok(())
}

async fn send(stream: &mut TcpStream, body_bytes: u64, shared: &Shared) -> Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut sent = 0;
    while sent < body_bytes {
        let bytes = shared.pattern.from(sent);
        let left = usize::try_from(body_bytes - sent).unwrap_or(usize::MAX);
        let count = stream.write(bytes.get(..bytes.len().min(left)).unwrap_or_default()).await? as u64;
        ensure!(count > 0, "the reader is gone");
        sent += count;
        shared.sent.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}

async fn take(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &Request,
    pattern: &Pattern,
) -> Result<()> {
    let early = usize::try_from(request.body_bytes)?.min(buffer.len());
    let mut room: Vec<u8> = buffer.drain(..early).collect();
    let (mut have, mut count) = (0, early);
    while have < request.body_bytes {
        if count == 0 {
            room.resize(READ_BYTES, 0);
            let left = usize::try_from(request.body_bytes - have)?.min(READ_BYTES);
            count = stream.read(room.get_mut(..left).unwrap_or_default()).await?;
            ensure!(count > 0, "the body was cut");
        }
        if !pattern.looks_right(have, room.get(..count).unwrap_or_default()) {
            bail!("wrong bytes near {have}");
        }
        have += count as u64;
        count = 0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_process::tasks::Tasks;

    use super::{Origin, SENT, SMALL, SMALL_BODY, UPLOAD, bulk};
    use crate::pattern::Pattern;
    use crate::visitor::{Purpose, Target};

    async fn target() -> Target {
        let origin = Origin::listen().await.unwrap();
        let target = Target::plain(origin.address());
        drop(Tasks::new("test").spawn("origin", origin.serve()));
        target
    }

    #[tokio::test]
    async fn bodies_go_both_ways_whole_and_are_counted() {
        let (target, pattern) = (target().await, Pattern::new());
        let mut visitor = target.connect(Purpose::Bulk).await.unwrap();
        visitor.exchange(&target.request("GET", SMALL, ""), SMALL_BODY).await.unwrap();
        let mut seen = 0;
        visitor.send(&target.request("GET", &bulk(1_000_000), "")).await.unwrap();
        let head = visitor.head().await.unwrap();
        visitor.large_body(head, &pattern, |count| seen += count).await.unwrap();
        assert_eq!(seen, 1_000_000);
        visitor.send(&target.request("POST", UPLOAD, "Content-Length: 1000000\r\n")).await.unwrap();
        visitor.send_body(&pattern, 1_000_000).await.unwrap();
        let head = visitor.head().await.unwrap();
        assert_eq!(visitor.short_body(head).await.unwrap(), b"ok\n");
        visitor.exchange(&target.request("GET", SENT, ""), b"1000000").await.unwrap();
    }

    #[tokio::test]
    async fn an_upload_of_wrong_bytes_gets_no_answer() {
        let target = target().await;
        let mut visitor = target.connect(Purpose::Small).await.unwrap();
        visitor.send(&target.request("POST", UPLOAD, "Content-Length: 16\r\n")).await.unwrap();
        visitor.send(b"not the pattern!").await.unwrap();
        assert!(visitor.head().await.is_err());
    }

    #[tokio::test]
    async fn another_answer_than_the_expected_is_an_error() {
        let target = target().await;
        let mut visitor = target.connect(Purpose::Small).await.unwrap();
        assert!(visitor.exchange(&target.request("GET", SMALL, ""), b"hello, nginx!\n").await.is_err());
    }
}
