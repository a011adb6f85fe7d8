//! How a WebSocket over HTTP/2 ends: a cut is a reset on the other side, an end an end (RFC 8441 section 5). Frames are written and
//! read by hand, because clients show the one as the other.

use std::time::Duration;

use adit_e2e::{RawOrigin, Scene, head_of, within};
use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const STEP: Duration = Duration::from_mins(1);
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const HELLO: &[u8] = b"\x82\x05hello";

/// A visitor's stream whose service has said hello, and the service's connection.
struct Open {
    scene: Scene,
    visitor: Box<dyn Io>,
    upstream: Option<TcpStream>,
    _origin: RawOrigin,
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Open {
    async fn new() -> Result<Self> {
        let (give, mut given) = mpsc::channel(4);
        let origin = RawOrigin::start(move |stream| shake(stream, give.clone())).await?;
        let scene = Scene::start_with(&origin.port()).await?;
        let mut visitor: Box<dyn Io> = Box::new(scene.visitor.tls(&["h2"]).await?);
        visitor.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        visitor.write_all(&frame(SETTINGS, 0, 0, &[])?).await?;
        let head = connect(&scene.visitor.https_authority())?;
        visitor.write_all(&frame(HEADERS, END_HEADERS, 1, &head)?).await?;
        visitor.flush().await?;
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
        let next = async {
            loop {
                let mut head = [0; 9];
                self.visitor.read_exact(&mut head).await?;
                let [high, middle, low, kind, flags, .., stream] = head;
                let mut body = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low]))?];
                self.visitor.read_exact(&mut body).await?;
                if stream == 1 && kind <= RST_STREAM {
                    return Ok((kind, flags, body));
                }
            }
        };
        within("a frame", STEP, next).await?
    }

    async fn send(&mut self, kind: u8, flags: u8, body: &[u8]) -> Result<()> {
        self.visitor.write_all(&frame(kind, flags, 1, body)?).await?;
        Ok(self.visitor.flush().await?)
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

fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Result<Vec<u8>> {
    let [_, high, middle, low] = u32::try_from(body.len())?.to_be_bytes();
    Ok([&[high, middle, low, kind, flags, 0, 0, 0, stream], body].concat())
}

/// An extended CONNECT (RFC 8441 section 4) in HPACK without tables (RFC 7541 section 6.2.2).
fn connect(authority: &str) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", authority),
        ("sec-websocket-version", "13"),
    ];
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            ensure!(text.len() < 127, "a length of one byte");
            head.push(u8::try_from(text.len())?);
            head.extend_from_slice(text.as_bytes());
        }
    }
    Ok(head)
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
