//! Transfers of every kind that go on until they are cut, and then begin again.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adit_e2e::{Connection, Ledger, Parts, Pattern, Visitor, until};
use adit_process::tasks::{Task, Tasks};
use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::raw::Raw;
use super::visits::{BODY_BYTES_MAX, get, read, upgrade, websocket_in_http2};

/// In one piece, and how often: little is on its way at any moment.
const PIECE_BYTES: usize = 2_000;
const EVERY: Duration = Duration::from_millis(5);

/// Until a transfer that was cut begins again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// All of them have seen that their node is dead.
const CUT_WITHIN: Duration = Duration::from_secs(30);

/// What is transferred.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Answers, one after the other.
    Answers,
    /// One request's body.
    Upload,
    /// Both ways, to an upstream that speaks HTTP/2.
    Call,
    /// A connection that has changed its protocol.
    Upgrade,
    /// A WebSocket over HTTP/2.
    WebSocket,
    Tcp,
    Tls,
}

const KINDS: [Kind; 7] =
    [Kind::Answers, Kind::Upload, Kind::Call, Kind::Upgrade, Kind::WebSocket, Kind::Tcp, Kind::Tls];

/// One transfer of each kind.
pub(super) struct Transfers(Vec<Transfer>);

struct Transfer {
    kind: Kind,
    /// How often it was cut.
    cuts: Arc<AtomicU64>,
    task: Task<()>,
}

impl Transfers {
    /// What visitors see is written down in `seen`.
    pub(super) fn start(visitor: &Visitor, raw: &Arc<Raw>, seen: &Ledger) -> Self {
        let start = |kind| {
            let who = Who { visitor: visitor.clone(), raw: Arc::clone(raw), seen: seen.clone() };
            let cuts = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&cuts);
            let task = Tasks::new("transfers").spawn("transfer", async move {
                let mut again = pace(AGAIN_AFTER);
                loop {
                    again.tick().await;
                    // None ends by itself.
                    drop(who.transfer(kind).await);
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
            Transfer { kind, cuts, task }
        };
        Self(KINDS.map(start).into())
    }

    /// Ends them all, as soon as each has been cut.
    pub(super) async fn end(self) -> Result<()> {
        let cut = until("all transfers are cut", CUT_WITHIN, async || !self.cuts().contains(&0)).await;
        let kinds = || self.0.iter().map(|transfer| transfer.kind).zip(self.cuts()).collect::<Vec<_>>();
        cut.with_context(|| format!("{:?}", kinds()))?;
        for transfer in self.0 {
            transfer.task.abort();
            // That it was aborted is what it says.
            drop(transfer.task.await);
        }
        Ok(())
    }

    /// How often each has been cut so far.
    pub(super) fn cuts(&self) -> Vec<u64> {
        self.0.iter().map(|transfer| transfer.cuts.load(Ordering::SeqCst)).collect()
    }
}

/// A visitor of all endpoints.
struct Who {
    visitor: Visitor,
    raw: Arc<Raw>,
    seen: Ledger,
}

impl Who {
    /// Until it is cut.
    async fn transfer(&self, kind: Kind) -> Result<()> {
        let seen = &self.seen;
        match kind {
            Kind::Answers => answers(self.visitor.https().await?, seen).await,
            Kind::Upload => posted(self.visitor.http().await?, "/upload", seen).await,
            Kind::Call => posted(self.raw.calls().http2().await?, "/test/Echo", seen).await,
            Kind::Upgrade => {
                let mut connection = self.visitor.http().await?;
                echoed(upgrade(&mut connection, "/upgrade", "knock", seen).await?).await
            }
            Kind::WebSocket => {
                let mut connection = self.visitor.http2().await?;
                messages(websocket_in_http2(&mut connection, seen).await?).await
            }
            Kind::Tcp => echoed(self.raw.tcp(seen).await?).await,
            Kind::Tls => echoed(self.raw.tls(seen).await?).await,
        }
    }
}

async fn answers(mut connection: Connection, seen: &Ledger) -> Result<()> {
    let (mut sizes, mut beats) = (Pattern::new(3), pace(EVERY));
    loop {
        beats.tick().await;
        get(&mut connection, seen, sizes.below(BODY_BYTES_MAX)).await?;
    }
}

/// A body that goes on, and the answer to it.
async fn posted(mut connection: Connection, path: &str, seen: &Ledger) -> Result<()> {
    let (parts, body) = Parts::channel();
    let request = connection.request(Method::POST, path, body)?;
    let said = async {
        let mut beats = pace(EVERY);
        loop {
            beats.tick().await;
            seen.incoming(PIECE_BYTES);
            if parts.send(vec![b'x'; PIECE_BYTES]).await.is_err() {
                // How the request has ended is told by its answer.
                pending::<()>().await;
            }
        }
    };
    let heard = async {
        let answer = connection.send(request).await?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        read(answer, seen).await
    };
    tokio::select! {
        heard = heard => heard,
        () = said => Ok(()),
    }
}

/// Every piece comes back before the next one goes.
async fn echoed(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let (mut pattern, mut beats, mut back) = (Pattern::new(5), pace(EVERY), [0; PIECE_BYTES]);
    loop {
        beats.tick().await;
        let piece = pattern.take(PIECE_BYTES);
        stream.write_all(&piece).await?;
        stream.flush().await?;
        stream.read_exact(&mut back).await?;
        ensure!(back == *piece, "the echo differs");
    }
}

async fn messages(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let (mut pattern, mut beats) = (Pattern::new(7), pace(EVERY));
    loop {
        beats.tick().await;
        let message = Message::Binary(pattern.take(PIECE_BYTES));
        socket.send(message.clone()).await?;
        ensure!(socket.next().await.context("a message")?? == message, "the message differs");
    }
}

fn pace(every: Duration) -> Interval {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
