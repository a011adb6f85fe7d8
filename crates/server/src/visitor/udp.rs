//! A public UDP port: one socket, and a flow for each visitor's address and port.

mod drops;
mod flow;
mod queue;
mod table;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use adit_domain::{EndpointKind, Hostname};
use adit_process::shutdown::{Phase, Shutdown};
use adit_wire::limits::DATAGRAM_BYTES_MAX;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use crate::limits::{DATAGRAM_READ_BACKOFF, DATAGRAMS_READ_IN_A_ROW};
use crate::node::Node;
use drops::{Dropped, Drops};
use flow::{Visit, Visitor};
use queue::Queue;
use table::Table;

/// The port of one udp endpoint.
pub(crate) struct Port {
    node: Arc<Node>,
    hostname: Hostname,
    socket: Arc<UdpSocket>,
    flows: Arc<Table>,
    drops: Arc<Drops>,
}

impl Port {
    /// A port whose visitors are carried to whoever serves `hostname`.
    pub(crate) fn new(node: Arc<Node>, hostname: Hostname, socket: UdpSocket) -> Self {
        let drops = Arc::new(Drops::new(hostname.clone()));
        Self { node, hostname, socket: Arc::new(socket), flows: Arc::default(), drops }
    }

    /// Takes datagrams until it is told to stop, or to drain and no flow is left; flows that are silent end soon then, and no
    /// new ones begin. It never waits for one flow: what there is no room for is dropped.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        // One byte more shows what is too long.
        let mut room = vec![0; DATAGRAM_BYTES_MAX + 1];
        let (mut stopped, mut draining) = (shutdown.clone(), shutdown.clone());
        loop {
            let is_draining = shutdown.phase() != Phase::Running;
            tokio::select! {
                biased;
                () = stopped.stopped() => break,
                () = draining.draining(), if !is_draining => {}
                () = self.flows.emptied(), if is_draining => break,
                ready = self.socket.readable() => {
                    if let Err(error) = ready.and_then(|()| self.read(&mut room, &shutdown)) {
                        tracing::warn!(%error, hostname = %self.hostname, "a public port cannot be read");
                        sleep(DATAGRAM_READ_BACKOFF).await;
                    }
                }
            }
        }
        // They have been told to stop too. Until they have let go of the socket nobody else can have the port.
        self.flows.emptied().await;
    }

    fn read(&self, room: &mut [u8], shutdown: &Shutdown) -> io::Result<()> {
        for _ in 0..DATAGRAMS_READ_IN_A_ROW {
            match self.socket.try_recv_from(room) {
                Ok((bytes, visitor)) => {
                    let datagram = room.get(..bytes).unwrap_or_default();
                    if let Err(why) = self.take(datagram, visitor, shutdown) {
                        self.drops.count(why);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&self, datagram: &[u8], visitor: SocketAddr, shutdown: &Shutdown) -> Result<(), Dropped> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(Dropped::TooLong);
        }
        let queue = match self.flows.find(&visitor) {
            Some(queue) => queue,
            None => self.begin(visitor, shutdown)?,
        };
        queue.push(datagram).map_err(|_full| Dropped::Queue)
    }

    /// Begins a flow, if there is a place for it.
    fn begin(&self, address: SocketAddr, shutdown: &Shutdown) -> Result<Arc<Queue>, Dropped> {
        let node = &self.node;
        // No answer could be sent to port 0.
        if shutdown.phase() != Phase::Running || address.port() == 0 || node.overload.sheds(&node.gate) {
            return Err(Dropped::NoFlow);
        }
        let route = node.routes.get_kind(&self.hostname, EndpointKind::Udp).ok_or(Dropped::NoFlow)?;
        let began = node.flows.begin(&route.share, address.ip(), Instant::now());
        let place = began.map_err(|_full| Dropped::NoFlow)?;
        let shares = [route.share.datagram_bytes(), node.flows.datagram_bytes()];
        let queue = Arc::new(Queue::new(shares.map(Arc::clone)));
        let entry = self.flows.enter(address, Arc::clone(&queue));
        let (socket, drops) = (Arc::clone(&self.socket), Arc::clone(&self.drops));
        let visit = Visit {
            node: Arc::clone(node),
            hostname: self.hostname.clone(),
            visitor: Visitor { address, queue: Arc::clone(&queue), socket, drops },
            shutdown: shutdown.clone(),
            place,
            entry,
        };
        drop(node.visitor_tasks.spawn("udp flow", visit.run()));
        Ok(queue)
    }
}
