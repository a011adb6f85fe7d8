//! Datagrams: a service that answers them, and visitors that send them.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;

use crate::limits::STEP_WITHIN;
use crate::wait::within;

/// The most that a datagram carries over IPv4, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// A UDP service. Ends with the test's runtime.
#[derive(Debug)]
pub struct UdpOrigin {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

/// What a service has received.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How many datagrams.
    pub datagrams: u64,
    /// What they came to.
    pub bytes: u64,
    /// Where they came from.
    pub sources: HashSet<SocketAddr>,
}

impl UdpOrigin {
    /// A service on a port of its own. `answer` says what is sent back for a datagram, in this order.
    pub async fn start<A>(answer: A) -> Result<Self>
    where
        A: Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    {
        Self::start_at(0, answer).await
    }

    /// A service on this port.
    pub async fn start_at<A>(port: u16, answer: A) -> Result<Self>
    where
        A: Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    {
        let socket = UdpSocket::bind(("127.0.0.1", port)).await.context("no port for a UDP service")?;
        let (port, seen) = (socket.local_addr()?.port(), Arc::<Mutex<Seen>>::default());
        let noting = Arc::clone(&seen);
        Tasks::new("udp origin").spawn("serve", async move {
            let mut room = vec![0; DATAGRAM_BYTES_MAX];
            while let Ok((bytes, from)) = socket.recv_from(&mut room).await {
                note(&noting, bytes, from);
                for datagram in answer(&room[..bytes]) {
                    // Whoever asked may be gone.
                    drop(socket.send_to(&datagram, from).await);
                }
            }
        });
        Ok(Self { port, seen })
    }

    /// A service that sends every datagram back.
    pub async fn echo() -> Result<Self> {
        Self::start(|datagram| vec![datagram.to_vec()]).await
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.port.to_string()
    }

    /// What it has received so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn note(seen: &Mutex<Seen>, bytes: usize, from: SocketAddr) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.datagrams += 1;
    seen.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    seen.sources.insert(from);
}

/// A visitor of a UDP endpoint, with an address and port of its own.
#[derive(Debug)]
pub struct UdpVisitor {
    socket: UdpSocket,
}

impl UdpVisitor {
    /// Whose datagrams go to the endpoint at `url`, which is `udp://localhost:PORT`.
    pub async fn of(url: &str) -> Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST, url).await
    }

    /// The same from this address of the loopback network.
    pub async fn at(from: Ipv4Addr, url: &str) -> Result<Self> {
        let port = url.strip_prefix("udp://localhost:").with_context(|| format!("not for udp: {url}"))?;
        let socket = UdpSocket::bind((from, 0)).await?;
        socket.connect(("127.0.0.1", port.parse()?)).await?;
        Ok(Self { socket })
    }

    /// Where it sends from.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Sends a datagram.
    pub async fn send(&self, datagram: &[u8]) -> std::io::Result<()> {
        self.socket.send(datagram).await.map(drop)
    }

    /// The next datagram.
    pub async fn receive(&self) -> Result<Vec<u8>> {
        let mut room = vec![0; DATAGRAM_BYTES_MAX];
        let bytes = within("an answer", STEP_WITHIN, self.socket.recv(&mut room)).await??;
        room.truncate(bytes);
        Ok(room)
    }

    /// Sends one and waits for one.
    pub async fn ask(&self, datagram: &[u8]) -> Result<Vec<u8>> {
        self.send(datagram).await?;
        self.receive().await
    }

    /// Asks as people's programs do: again and again until an answer comes.
    pub async fn ask_until_answered(&self, datagram: &[u8]) -> Result<Vec<u8>> {
        let mut room = vec![0; DATAGRAM_BYTES_MAX];
        let asking = async {
            loop {
                // A port that is not open refuses it.
                drop(self.socket.send(datagram).await);
                let answer = tokio::time::timeout(ASK_EVERY, self.socket.recv(&mut room)).await;
                if let Ok(Ok(bytes)) = answer {
                    return bytes;
                }
            }
        };
        let bytes = within("an answer", STEP_WITHIN, asking).await?;
        room.truncate(bytes);
        Ok(room)
    }
}

/// When to ask again.
const ASK_EVERY: std::time::Duration = std::time::Duration::from_millis(300);
