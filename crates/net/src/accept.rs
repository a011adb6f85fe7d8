//! The accept loop: a global permit before each accept, a limit per address right after it, and everything slow in the
//! connection's own task. Nothing a peer does ends the loop, and neither does a lack of descriptors.

mod failure;
mod fronted;
mod gate;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use adit_process::shutdown::Shutdown;
use adit_process::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};

use crate::connection::Connection;
use crate::limits::ACCEPT_BACKOFF;
use crate::listen::Listen;
use failure::Cure;
use fronted::Fronted;
pub use gate::{ConnectionLimits, ConnectionPermit, Counts, Gate, counted_as};

/// A connection that passed the gate.
#[derive(Debug)]
pub struct Accepted<S = TcpStream> {
    /// The connection, [`tuned`](crate::socket::tune).
    pub stream: S,
    /// Who connected. An IPv4 address that came in as IPv6 is IPv4 again.
    pub peer: SocketAddr,
    /// Its place among the open connections. To be kept as long as the connection lives, upgrades included.
    pub permit: ConnectionPermit,
}

/// Accepts connections and hands each to its own task.
#[derive(Debug)]
pub struct AcceptLoop<L = TcpListener> {
    /// What the connections' tasks are called.
    pub name: &'static str,
    /// Where connections come from.
    pub listener: L,
    /// How many there may be. Listeners may share one.
    pub gate: Gate,
    /// Who owns the connections' tasks.
    pub tasks: Tasks,
}

impl<L: Listen> AcceptLoop<L> {
    /// Accepts until `shutdown` drains, then closes the listener; connections live on in [`AcceptLoop::tasks`]. What comes
    /// from a load balancer that the gate trusts must say first whom it comes from.
    /// While the gate is full nothing is accepted: new connections wait in the kernel.
    ///
    /// `handler` runs in the connection's task, so it may take its time, and a panic in it ends that connection only.
    pub async fn run<H, F>(self, mut shutdown: Shutdown, handler: H)
    where
        H: Fn(Accepted<L::Connection>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(handler);
        loop {
            tokio::select! {
                biased;
                () = shutdown.draining() => return,
                arrived = self.next() => {
                    let handler = Arc::clone(&handler);
                    match arrived {
                        Arrived::Admitted(accepted) => {
                            self.tasks.spawn(self.name, async move { handler(accepted).await });
                        }
                        Arrived::Fronted(fronted) => {
                            let (gate, draining) = (self.gate.clone(), shutdown.clone());
                            self.tasks.spawn(self.name, async move {
                                // Boxed: no connection has room for it later.
                                if let Some(accepted) = Box::pin(fronted.introduced(&gate, draining)).await {
                                    handler(accepted).await;
                                }
                            });
                        }
                    }
                }
            }
        }
    }

    /// The next connection that may come in.
    async fn next(&self) -> Arrived<L::Connection> {
        let mut failed_in_a_row = 0_u64;
        loop {
            let place = self.gate.place().await;
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    failed_in_a_row = 0;
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    if self.gate.is_trusted(peer.ip()) {
                        return Arrived::Fronted(Fronted { stream, front: peer, place });
                    }
                    if let Some(permit) = self.gate.admit(peer.ip(), place) {
                        stream.tune();
                        return Arrived::Admitted(Accepted { stream, peer, permit });
                    }
                    refuse(&stream, peer);
                }
                Err(error) => {
                    drop(place);
                    failed_in_a_row = failed_in_a_row.saturating_add(1);
                    self.recover(&error, failed_in_a_row).await;
                }
            }
        }
    }

    async fn recover(&self, error: &io::Error, failed_in_a_row: u64) {
        self.gate.count_failure();
        match failure::cure(error) {
            Cure::Next => tracing::debug!(%error, "a connection was gone before it was accepted"),
            Cure::Wait => {
                // The first of a row, then ever more rarely.
                if failed_in_a_row.is_power_of_two() {
                    tracing::warn!(%error, failed_in_a_row, listener = self.name, "cannot accept, trying again");
                }
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Who is at the other end.
enum Arrived<S> {
    /// Whoever connected.
    Admitted(Accepted<S>),
    /// Somebody behind a load balancer, who is not known yet.
    Fronted(Fronted<S>),
}

/// Says no to one of too many. Without a reset every refused connection would stay behind in `TIME_WAIT`.
fn refuse<S: Connection>(stream: &S, peer: SocketAddr) {
    tracing::debug!(%peer, "too many connections from this address");
    stream.reset_on_drop();
}

#[cfg(test)]
mod tests;
