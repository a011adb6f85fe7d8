//! What does not end by itself is served until the drain's deadline, and then cut so that nobody takes it for the whole.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use adit_e2e::{
    Agent, Connection, EVENT_WITHIN, Options, Parts, PortSlot, RawFrame, RawHttp2, RawOrigin, Scene, Signal,
    Stack, head_of, until, within,
};
use anyhow::{Context as _, Result, ensure};
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time for a slow machine to see that everything is still served.
const DRAIN_S: u64 = 10;

/// A message of WebSocket as a visitor sends it, with a mask of zeros, and as it comes back (RFC 6455 section 5.2).
const ASKED: &[u8] = b"\x82\x84\0\0\0\0ping";
const ECHOED: &[u8] = b"\x82\x04ping";

/// A node that carries one of everything, and an agent of a second endpoint.
struct Busy {
    scene: Scene,
    _agent: Agent,
    _origin: RawOrigin,
    tcp: TcpStream,
    websocket: Box<dyn Io>,
    download: (Response<Incoming>, Parts, Connection),
    http2: (RawHttp2, Parts),
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Busy {
    async fn start() -> Result<Self> {
        let ports = Some(PortSlot::take()?);
        let options = Options { drain_timeout: Some(DRAIN_S), ports, ..Options::default() };
        let scene = Scene::start_on(Stack::start_with(options).await?).await?;
        let origin = RawOrigin::start(|mut stream| async move {
            let (mut reading, mut writing) = stream.split();
            tokio::io::copy(&mut reading, &mut writing).await?;
            Ok(())
        })
        .await?;
        let mut agent = scene.home.adit(&["tcp", &origin.port(), "--json"])?;
        let port: u16 = agent.url().await?.rsplit(':').next().context("no port")?.parse()?;
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut connection = scene.visitor.https().await?;
        let response = connection.get("/parts").await?;
        let download = (response, scene.origin.parts().await?, connection);
        let http2 = (http2(&scene).await?, scene.origin.parts().await?);
        let websocket = websocket(&scene).await?;
        Ok(Self { scene, _agent: agent, _origin: origin, tcp, websocket, download, http2 })
    }

    /// Each carries something.
    async fn is_served(&mut self) -> Result<()> {
        echoes(&mut self.tcp, b"ping", b"ping").await?;
        echoes(&mut self.websocket, ASKED, ECHOED).await?;
        let (response, parts, _) = &mut self.download;
        parts.send("more").await?;
        let frame = response.frame().await.context("an end")??;
        ensure!(frame.into_data().is_ok_and(|data| *data == *b"more"), "another part");
        let (visitor, parts) = &mut self.http2;
        parts.send("more").await?;
        frame_of(visitor, RawFrame::DATA).await?;
        Ok(())
    }
}

/// A download that has begun.
async fn http2(scene: &Scene) -> Result<RawHttp2> {
    let mut visitor = RawHttp2::open(&scene.visitor).await?;
    let authority = scene.visitor.https_authority();
    let fields =
        [(":method", "GET"), (":scheme", "https"), (":path", "/parts"), (":authority", authority.as_str())];
    visitor.send_head(RawFrame::END_STREAM, 1, &fields).await?;
    frame_of(&mut visitor, RawFrame::HEADERS).await?;
    Ok(visitor)
}

/// The next frame of this kind; until then nothing has ended.
async fn frame_of(visitor: &mut RawHttp2, kind: u8) -> Result<RawFrame> {
    loop {
        let frame = visitor.next().await?;
        ensure!(frame.kind != RawFrame::RST_STREAM, "reset");
        if frame.kind <= RawFrame::HEADERS {
            ensure!(frame.flags & RawFrame::END_STREAM == 0, "ended");
        }
        if frame.kind == kind {
            return Ok(frame);
        }
    }
}

async fn websocket(scene: &Scene) -> Result<Box<dyn Io>> {
    let mut visitor = scene.visitor.tls(&["http/1.1"]).await?;
    let head = format!(
        "GET /websocket HTTP/1.1\r\nHost: {}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        scene.visitor.https_authority()
    );
    visitor.write_all(head.as_bytes()).await?;
    let answer = head_of(&mut visitor).await?;
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    Ok(Box::new(visitor))
}

async fn echoes(io: &mut (impl AsyncRead + AsyncWrite + Unpin), asked: &[u8], echoed: &[u8]) -> Result<()> {
    io.write_all(asked).await?;
    io.flush().await?;
    let mut back = vec![0; echoed.len()];
    within("the echo", EVENT_WITHIN, io.read_exact(&mut back)).await??;
    ensure!(back == echoed, "{back:?}");
    Ok(())
}

/// Nothing more comes, and the end is none.
async fn is_cut(io: &mut (impl AsyncRead + Unpin)) -> Result<()> {
    let mut rest = Vec::new();
    let ended = within("the cut", EVENT_WITHIN, io.read_to_end(&mut rest)).await?;
    ensure!(rest.is_empty(), "{rest:?}");
    ensure!(ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_open_is_served_until_the_deadline_and_then_cut_so_that_it_shows() -> Result<()> {
    let mut busy = Busy::start().await?;
    busy.is_served().await?;
    let asked = Instant::now();
    busy.scene.stack.program().signal(Signal::TERM)?;
    let address = busy.scene.stack.http();
    until("the drain begins", EVENT_WITHIN, || async { TcpStream::connect(address).await.is_err() }).await?;
    let told = frame_of(&mut busy.http2.0, RawFrame::GOAWAY).await?;
    assert_eq!(told.body.get(4..8), Some(&[0; 4][..]), "no error");
    busy.is_served().await?;

    let status = busy.scene.stack.program().end(EVENT_WITHIN * 2).await?;
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(DRAIN_S), "{:?}", asked.elapsed());
    is_cut(&mut busy.tcp).await?;
    is_cut(&mut busy.websocket).await?;
    let (response, _parts, _connection) = busy.download;
    assert!(adit_e2e::digest(response.into_body()).await.is_err(), "it took a part for the whole");
    let (mut visitor, _parts) = busy.http2;
    // Another GOAWAY may come; an end of the stream may not.
    let error = frame_of(&mut visitor, RawFrame::DATA).await.err().context("more data")?;
    let is_cut = error.downcast_ref::<std::io::Error>();
    assert!(is_cut.is_some_and(|error| error.kind() == ErrorKind::ConnectionReset), "{error:?}");
    Ok(())
}
