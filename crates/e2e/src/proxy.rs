//! A piece of network between an agent and the server, which can go silent.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

const BUFFER_BYTES: usize = 16 * 1024;

/// Forwards TCP connections. While it is silent it still accepts connections, forwards nothing and closes nothing:
/// neither side is told. It ends with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    silent: watch::Sender<bool>,
    target: watch::Sender<Option<SocketAddr>>,
    faults: Arc<Faults>,
}

/// What befalls one connection, the one that has been open for longest.
#[derive(Debug, Default)]
struct Faults {
    cut: Notify,
    silence: Notify,
}

impl Proxy {
    /// Starts to listen on a port of its own. Connections wait until [`Proxy::forward_to`] says where to go.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a proxy")?;
        let port = listener.local_addr()?.port();
        let (silent, silence) = watch::channel(false);
        let (target, targets) = watch::channel(None);
        let faults = Arc::new(Faults::default());
        let befall = Arc::clone(&faults);
        let tasks = Tasks::new("proxy");
        let connections = tasks.clone();
        tasks.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(
                    "connection",
                    befallen(Arc::clone(&befall), connection(stream, targets.clone(), silence.clone())),
                );
            }
        });
        Ok(Self { port, silent, target, faults })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where connections go from now on.
    pub fn forward_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }

    /// Goes silent, or forwards again.
    pub fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// Cuts the connection that has been open for longest; both sides are told.
    pub fn cut_one(&self) {
        self.faults.cut.notify_one();
    }

    /// Cuts every connection; both sides are told.
    pub fn cut_all(&self) {
        self.faults.cut.notify_waiters();
    }

    /// Lets the connection that has been open for longest go silent, for ever; neither side is told.
    pub fn silence_one(&self) {
        self.faults.silence.notify_one();
    }
}

/// A connection until a fault.
async fn befallen(faults: Arc<Faults>, connection: impl Future<Output = Result<()>>) -> Result<()> {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = faults.cut.notified() => Ok(()),
        // What it holds stays open, and moves no more.
        () = faults.silence.notified() => std::future::pending().await,
    }
}

async fn connection(
    inward: TcpStream,
    mut targets: watch::Receiver<Option<SocketAddr>>,
    silence: watch::Receiver<bool>,
) -> Result<()> {
    let target = targets.wait_for(Option::is_some).await?.context("no target")?;
    forwarding(&mut silence.clone()).await?;
    let outward = TcpStream::connect(target).await?;
    inward.set_nodelay(true)?;
    outward.set_nodelay(true)?;
    let (inward_read, inward_write) = inward.into_split();
    let (outward_read, outward_write) = outward.into_split();
    let there = pump(inward_read, outward_write, silence.clone());
    let back = pump(outward_read, inward_write, silence);
    tokio::try_join!(there, back)?;
    Ok(())
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut silence: watch::Receiver<bool>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        forwarding(&mut silence).await?;
        match buffer.get(..count) {
            Some([]) | None => return Ok(to.shutdown().await?),
            Some(bytes) => to.write_all(bytes).await?,
        }
    }
}

/// Waits while the proxy is silent.
async fn forwarding(silence: &mut watch::Receiver<bool>) -> Result<()> {
    silence.wait_for(|silent| !silent).await.context("the proxy is gone")?;
    Ok(())
}
