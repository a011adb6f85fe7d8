//! The upstream behind an agent: an HTTP/1.1 server in the test's own process.

mod git;
mod routes;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};

use crate::body::{Body, Parts};
use crate::ledger::Ledger;
use crate::limits::STEP_WITHIN;
use crate::wait::within;

/// Bodies that wait for their test.
const PARTS_MAX: usize = 16;

/// An HTTP/1.1 server on a port of its own. Ends with the test's runtime.
///
/// | path | answers with |
/// | --- | --- |
/// | `/bytes/N?seed=S` | N bytes of the pattern S, with their length |
/// | `/chunked/N?seed=S` | the same, chunked |
/// | `/upload`, `/upload?seed=S` | JSON: what came, as a digest, and its trailers; it is compared with the pattern S |
/// | `/echo-headers` | JSON: method, target, version and headers as they came |
/// | `/parts`, `/sse` | a body that the test hands out by [`Origin::parts`] |
/// | `/status/NNN` | this status, with a body where it may have one |
/// | `/redirect` | 302 to `http://`, its own host and `/there?a=b` |
/// | `/trailers` | a chunked body and the trailer `x-sum` |
/// | `/hang` | nothing, ever |
/// | `/websocket` | a WebSocket that echoes |
/// | `/upgrade` | 101 to whatever protocol is asked for, then every byte back |
/// | `/git/…` | `git http-backend` on [`Origin::repositories`] |
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    parts: Mutex<mpsc::Receiver<Parts>>,
    tasks: Tasks,
}

/// How far the newest upload has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Upload {
    /// How many uploads there were before.
    pub before: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Whether it has ended, and then whether the end was a good one.
    pub complete: Option<bool>,
    /// Whether something came that is not the pattern.
    pub differs: bool,
}

#[derive(Debug)]
struct Shared {
    connections: AtomicU64,
    requests: AtomicU64,
    upload: watch::Sender<Upload>,
    parts: mpsc::Sender<Parts>,
    repositories: tempfile::TempDir,
    ledger: Ledger,
    tasks: Tasks,
}

impl Origin {
    /// Starts to serve.
    pub async fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts to serve at an address that was free a moment ago.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.context("no port for an origin")?;
        Self::start_on(listener)
    }

    /// Starts to serve on a port that is open.
    pub fn start_on(listener: TcpListener) -> Result<Self> {
        let address = listener.local_addr()?;
        let tasks = Tasks::new("origin");
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let shared = Arc::new(Shared {
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            upload: watch::Sender::default(),
            parts: sender,
            repositories: tempfile::TempDir::with_prefix("adit-e2e-git-")?,
            ledger: Ledger::default(),
            tasks: tasks.clone(),
        });
        tasks.spawn("accept", accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, parts: Mutex::new(parts), tasks })
    }

    /// Stops to serve, as a program that is killed does.
    pub async fn kill(&self) {
        self.tasks.join_all(Duration::ZERO).await;
    }

    /// Where it serves.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// What it has seen: requests, uploads, its answers' bodies, and connections that were upgraded.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// The body of the next request for `/parts` or `/sse`.
    pub async fn parts(&self) -> Result<Parts> {
        let next = async { self.parts.lock().await.recv().await };
        within("a request for parts", STEP_WITHIN, next).await?.context("the origin is gone")
    }

    /// Waits until the newest upload is as wanted.
    pub async fn upload(&self, what: &str, mut wanted: impl FnMut(&Upload) -> bool) -> Result<Upload> {
        let mut upload = self.shared.upload.subscribe();
        let reached = within(what, STEP_WITHIN, upload.wait_for(|upload| wanted(upload))).await;
        let now = *self.shared.upload.borrow();
        Ok(*reached.with_context(|| format!("the newest upload: {now:?}"))??)
    }

    /// The folder of the git repositories that it serves.
    #[must_use]
    pub fn repositories(&self) -> PathBuf {
        self.shared.repositories.path().to_path_buf()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.tasks.spawn("connection", serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        shared.ledger.request();
        let ledger = shared.ledger.clone();
        let answered = routes::answer(Arc::clone(&shared), request);
        async move {
            let answered = answered.await?;
            let counted = |body: Body| body.inspect_frame(move |frame| ledger.outgoing_frame(frame));
            Ok::<_, Infallible>(answered.map(counted))
        }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(512 * 1024);
    // How a connection ends is no news to the origin: uploads tell it themselves.
    drop(builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
}

#[cfg(test)]
mod tests;
