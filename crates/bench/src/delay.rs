//! A far link: TCP forwarded with a delay each way, and the bandwidth of a line.
//!
//! The bytes of each direction travel in order and arrive half a round trip later; at most as many are under way as a
//! line of 1 Gbit/s holds. It shows what the windows and acknowledgements *above* TCP do to a stream. It does not show
//! what TCP itself does on a far line, slow start and loss, because each half of the way is a TCP connection on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::limits::{FAR_BYTES_PER_SECOND, FAR_CHUNK_BYTES, FAR_CHUNKS_MAX};

/// A far link on a thread of its own. Dropping it cuts the line.
#[derive(Debug)]
pub struct Delay {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    _alive: oneshot::Sender<()>,
}

/// What is under way, the moment when it arrives, and the room that it takes until then. No bytes are the end.
type Piece = (Instant, Vec<u8>, Option<OwnedSemaphorePermit>);

impl Delay {
    /// A link with this round trip. Connections wait until [`Delay::leads_to`] says where it goes.
    pub fn start(round_trip: Duration) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a link")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (alive, ended) = oneshot::channel();
        let (target, targets) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    // It ends when no connection can be accepted: its visitors will notice.
                    _ = accept(listener, round_trip / 2, targets) => {}
                }
            });
        };
        std::thread::Builder::new().name("far-link".into()).spawn(run).context("no thread for a link")?;
        Ok(Self { address, target, _alive: alive })
    }

    /// Its near end.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its far end leads.
    pub fn leads_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }
}

async fn accept(
    listener: std::net::TcpListener,
    one_way: Duration,
    targets: watch::Receiver<Option<SocketAddr>>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let tasks = Tasks::new("far-link");
    loop {
        let (near, _) = listener.accept().await?;
        drop(tasks.spawn("connection", connection(near, one_way, targets.clone())));
    }
}

async fn connection(
    near: TcpStream,
    one_way: Duration,
    mut targets: watch::Receiver<Option<SocketAddr>>,
) -> Result<()> {
    let target = targets.wait_for(Option::is_some).await?.context("it leads nowhere")?;
    // The handshake takes a round trip.
    tokio::time::sleep(2 * one_way).await;
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::try_join!(line(near_read, far_write, one_way), line(far_read, near_write, one_way))?;
    Ok(())
}

async fn line(from: OwnedReadHalf, to: OwnedWriteHalf, one_way: Duration) -> Result<()> {
    let (pieces, arriving) = mpsc::channel(FAR_CHUNKS_MAX);
    tokio::try_join!(depart(from, pieces, one_way), arrive(to, arriving))?;
    Ok(())
}

async fn depart(mut from: OwnedReadHalf, pieces: mpsc::Sender<Piece>, one_way: Duration) -> Result<()> {
    let room = Arc::new(Semaphore::new(line_bytes(one_way)));
    let mut buffer = vec![0; FAR_CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        let permit = Arc::clone(&room).acquire_many_owned(u32::try_from(count)?).await?;
        pieces.send((Instant::now() + one_way, bytes, Some(permit))).await.context("the line is cut")?;
        if count == 0 {
            return Ok(());
        }
    }
}

async fn arrive(mut to: OwnedWriteHalf, mut arriving: mpsc::Receiver<Piece>) -> Result<()> {
    while let Some((due, bytes, permit)) = arriving.recv().await {
        tokio::time::sleep_until(due).await;
        if bytes.is_empty() {
            to.shutdown().await?;
        } else {
            to.write_all(&bytes).await?;
        }
        drop(permit);
    }
    Ok(())
}

/// What a line holds in one direction: never less than one piece.
fn line_bytes(one_way: Duration) -> usize {
    let bytes = u128::from(FAR_BYTES_PER_SECOND) * one_way.as_micros() / 1_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX).max(FAR_CHUNK_BYTES)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::time::{Duration, Instant};

    use adit_process::tasks::Tasks;

    use super::{Delay, line_bytes};
    use crate::limits::FAR_CHUNK_BYTES;
    use crate::origin::{Origin, SMALL, SMALL_BODY, bulk};
    use crate::pattern::Pattern;
    use crate::visitor::{Purpose, Target};

    #[test]
    fn a_line_holds_what_its_bandwidth_brings_while_a_byte_is_under_way() {
        assert_eq!(line_bytes(Duration::from_millis(50)), 6_250_000);
        assert_eq!(line_bytes(Duration::ZERO), FAR_CHUNK_BYTES);
    }

    #[tokio::test]
    async fn bytes_arrive_whole_and_not_before_a_round_trip() {
        let origin = Origin::listen().await.unwrap();
        let round_trip = Duration::from_millis(40);
        let delay = Delay::start(round_trip).unwrap();
        delay.leads_to(origin.address());
        drop(Tasks::new("test").spawn("origin", origin.serve()));
        let target = Target::plain(delay.address());
        let mut visitor = target.connect(Purpose::Bulk).await.unwrap();
        visitor.exchange(&target.request("GET", SMALL, ""), SMALL_BODY).await.unwrap();
        let sent = Instant::now();
        visitor.exchange(&target.request("GET", SMALL, ""), SMALL_BODY).await.unwrap();
        assert!(sent.elapsed() >= round_trip, "{:?}", sent.elapsed());
        visitor.send(&target.request("GET", &bulk(8_000_000), "")).await.unwrap();
        let head = visitor.head().await.unwrap();
        visitor.large_body(head, &Pattern::new(), |_| ()).await.unwrap();
    }
}
