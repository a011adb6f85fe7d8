//! How a WebSocket over HTTP/2 ends: a cut is a reset on the other side, an end an end (RFC 8441 section 5). Frames are written and
//! read by hand, because clients show the one as the other.

use std::time::Duration;

use adit_e2e::{RawFrame, RawHttp2, RawOrigin, Scene, head_of, within};
use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const STEP: Duration = Duration::from_mins(1);
const DATA: u8 = RawFrame::DATA;
const RST_STREAM: u8 = RawFrame::RST_STREAM;
const END_STREAM: u8 = RawFrame::END_STREAM;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const HELLO: &[u8] = b"\x82\x05hello";

/// A visitor's stream whose service has said hello, and the service's connection.
struct Open {
    scene: Scene,
    visitor: RawHttp2,
    upstream: Option<TcpStream>,
    _origin: RawOrigin,
}

impl Open {
    async fn new() -> Result<Self> {
        let (give, mut given) = mpsc::channel(4);
        let origin = RawOrigin::start(move |stream| shake(stream, give.clone())).await?;
        let scene = Scene::start_with(&origin.port()).await?;
        let mut visitor = RawHttp2::open(&scene.visitor).await?;
        // An extended CONNECT (RFC 8441 section 4).
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", &scene.visitor.https_authority()),
            ("sec-websocket-version", "13"),
        ];
        visitor.send_head(0, 1, &fields).await?;
        let mut open = within("a service", STEP, given.recv()).await?.context("no service")?;
        open.write_all(HELLO).await?;
        let mut this = Self { scene, visitor, upstream: Some(open), _origin: origin };
        let mut text = Vec::new();
        while text != HELLO {
            let (kind, _, body) = this.next().await?;
            ensure!(kind != RST_STREAM, "reset early");
            if kind == DATA {
                text.extend(body);
            }
        }
        Ok(this)
    }

    /// The next frame of the stream.
    async fn next(&mut self) -> Result<(u8, u8, Vec<u8>)> {
        loop {
            let RawFrame { kind, flags, stream, body } = self.visitor.next().await?;
            if stream == 1 && kind <= RST_STREAM {
                return Ok((kind, flags, body));
            }
        }
    }

    async fn send(&mut self, kind: u8, flags: u8, body: &[u8]) -> Result<()> {
        self.visitor.send(kind, flags, 1, body).await
    }

    fn service(&mut self) -> Result<&mut TcpStream> {
        self.upstream.as_mut().context("a service")
    }

    /// What the service reads up to the end.
    async fn upstream_reads(&mut self) -> Result<(Vec<u8>, std::io::Result<usize>)> {
        let mut bytes = Vec::new();
        let read = within("the service's end", STEP, self.service()?.read_to_end(&mut bytes)).await?;
        Ok((bytes, read))
    }
}

/// Changes the protocol as a service does that knows WebSocket.
async fn shake(mut stream: TcpStream, give: mpsc::Sender<TcpStream>) -> Result<()> {
    let head = head_of(&mut stream).await?;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).context("no key")?;
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(give.send(stream).await?)
}

#[tokio::test]
async fn a_cut_tunnel_is_a_reset_and_no_end() -> Result<()> {
    let mut open = Open::new().await?;
    open.scene.agent.program().kill().await?;
    let (kind, _, body) = open.next().await?;
    assert_eq!((kind, body.as_slice()), (RST_STREAM, CANCEL.as_slice()));
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_cut_is_a_reset_and_one_that_ends_is_an_end() -> Result<()> {
    let mut open = Open::new().await?;
    let upstream = open.upstream.take().context("a service")?;
    upstream.set_zero_linger()?;
    drop(upstream);
    let (kind, _, body) = open.next().await?;
    assert_eq!((kind, body.as_slice()), (RST_STREAM, CANCEL.as_slice()));
    let mut open = Open::new().await?;
    open.service()?.shutdown().await?;
    let (kind, flags, _) = open.next().await?;
    assert_eq!((kind, flags & END_STREAM), (DATA, END_STREAM));
    Ok(())
}

#[tokio::test]
async fn a_visitor_who_cancels_has_not_ended() -> Result<()> {
    let mut open = Open::new().await?;
    open.send(DATA, 0, b"half a mess").await?;
    let mut start = [0; 4];
    within("the start", STEP, open.service()?.read_exact(&mut start)).await??;
    open.send(RST_STREAM, 0, &CANCEL).await?;
    let (_, read) = open.upstream_reads().await?;
    assert!(read.is_err(), "the service read an end: {read:?}");
    let mut open = Open::new().await?;
    open.send(DATA, END_STREAM, b"all of it").await?;
    let (bytes, read) = open.upstream_reads().await?;
    assert_eq!((bytes.as_slice(), read?), (b"all of it".as_slice(), 9));
    Ok(())
}
