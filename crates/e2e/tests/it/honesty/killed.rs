//! What has no length of its own ends with its connection, and the kernel closes those of a process that is killed.

use std::io::{ErrorKind, Result as IoResult};
use std::sync::Arc;

use adit_e2e::{Agent, Options, PortSlot, RawOrigin, Scene, Stack, Visitor, head_of, within};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

use super::{Death, Framing, Io, SENT_BYTES, STEP, dying};

/// A scene with a tcp endpoint beside it, whose upstream sends a part, and tells how the visitor's part ended.
struct Place {
    scene: Scene,
    agent: Agent,
    visitor: TcpStream,
    ends: mpsc::Receiver<IoResult<()>>,
}

impl Place {
    /// The scene's upstream is `upstream`.
    async fn start(upstream: &str) -> Result<Self> {
        let (told, ends) = mpsc::channel(8);
        let origin = RawOrigin::start(move |mut stream| {
            let told = told.clone();
            async move {
                stream.write_all(&[b'b'; 1_000]).await?;
                let read = stream.read_to_end(&mut Vec::new()).await;
                Ok(told.send(read.map(drop)).await?)
            }
        })
        .await?;
        let stack =
            Stack::start_with(Options { ports: Some(PortSlot::take()?), ..Options::default() }).await?;
        let mut scene = Scene::start_on(stack).await?;
        scene.agent = scene.home.http(upstream, Some("other"))?;
        scene.visitor = Visitor::new(&scene.stack, &scene.agent.hostname().await?)?;
        let mut agent = scene.home.adit(&["tcp", &origin.port(), "--json"])?;
        let port = agent.url().await?.rsplit(':').next().context("no port")?.parse()?;
        let mut visitor = TcpStream::connect(("127.0.0.1", port)).await?;
        visitor.write_all(b"a part").await?;
        within("the other part", STEP, visitor.read_exact(&mut [0; 1_000])).await??;
        Ok(Self { scene, agent, visitor, ends })
    }

    /// How the visitor's connection ended.
    async fn visitors_end(&mut self) -> Result<Option<ErrorKind>> {
        let end = within("the visitor's end", STEP, self.visitor.read_to_end(&mut Vec::new())).await?;
        Ok(end.err().map(|error| error.kind()))
    }

    /// How the upstream's connection ended.
    async fn upstreams_end(&mut self) -> Result<Option<ErrorKind>> {
        let end = within("the upstream's end", STEP, self.ends.recv()).await?.context("no end")?;
        Ok(end.err().map(|error| error.kind()))
    }
}

#[tokio::test]
async fn a_server_that_is_killed_ends_nothing() -> Result<()> {
    let origin = dying(Framing::UntilClose, Death::Closed, Arc::new(Semaphore::new(0))).await?;
    let mut place = Place::start(&origin.port()).await?;
    let visitor = &place.scene.visitor;
    let plain: Box<dyn Io> = Box::new(visitor.tcp().await?);
    let tls: Box<dyn Io> = Box::new(visitor.tls(&["http/1.1"]).await?);
    let mut readers = Vec::new();
    for (mut io, authority) in [(plain, visitor.http_authority()), (tls, visitor.https_authority())] {
        io.write_all(format!("GET / HTTP/1.0\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
        head_of(&mut io).await?;
        within("the part that was sent", STEP, io.read_exact(&mut vec![0; SENT_BYTES])).await??;
        readers.push(io);
    }
    place.scene.stack.program().kill().await?;
    for mut io in readers {
        let end = within("the end", STEP, io.read_to_end(&mut Vec::new())).await?;
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    }
    assert_eq!(place.visitors_end().await?, Some(ErrorKind::ConnectionReset));
    assert_eq!(place.upstreams_end().await?, Some(ErrorKind::ConnectionReset));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_killed_ends_nothing() -> Result<()> {
    let mut place = Place::start("9").await?;
    place.agent.program().kill().await?;
    assert_eq!(place.upstreams_end().await?, Some(ErrorKind::ConnectionReset));
    assert_eq!(place.visitors_end().await?, Some(ErrorKind::ConnectionReset));
    Ok(())
}
