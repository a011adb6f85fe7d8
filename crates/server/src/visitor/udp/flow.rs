//! One flow: the datagrams of one visitor, carried to whoever serves the endpoint, and the answers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_domain::{EndpointKind, Hostname};
use adit_mux::{DatagramIo, Flow, FlowEnd, FlowIdle, Stream};
use adit_process::shutdown::Shutdown;
use adit_wire::record::AbortCode;
use tokio::net::UdpSocket;

use super::drops::{Dropped, Drops};
use super::queue::Queue;
use super::table::Entry;
use crate::access::{Access, By};
use crate::choice::{Choice, Known};
use crate::flows::FlowPlace;
use crate::limits::{FLOW_CONVERSATION_IDLE, FLOW_DRAINING_IDLE, FLOW_QUESTION_IDLE};
use crate::metering::Count;
use crate::mix::Passing;
use crate::node::Node;
use crate::places::Place;
use crate::probe;
use crate::routes::NoTunnel;
use crate::tunnel::Tunnel;

const IDLE: FlowIdle = FlowIdle { question: FLOW_QUESTION_IDLE, conversation: FLOW_CONVERSATION_IDLE };

/// A flow that begins.
pub(super) struct Visit {
    pub(super) node: Arc<Node>,
    pub(super) hostname: Hostname,
    pub(super) visitor: Visitor,
    pub(super) shutdown: Shutdown,
    pub(super) place: FlowPlace,
    // Last: who waits for the table to be empty wants the port.
    pub(super) entry: Entry,
}

/// What leads to a visitor and comes from it.
#[derive(Clone)]
pub(super) struct Visitor {
    /// As the port sees it.
    pub(super) address: SocketAddr,
    pub(super) queue: Arc<Queue>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) drops: Arc<Drops>,
}

impl Visit {
    /// Carries it until it ends, or the port is closed.
    pub(super) async fn run(self) {
        let Self { node, hostname, visitor, mut shutdown, place, entry } = self;
        let (id, address) = (RequestId::new(), visitor.address);
        let access = Access::of_connection(id, address, (EndpointKind::Udp, &hostname), node.times());
        let carrying = Carrying { node, hostname, id, visitor, access: access.clone() };
        let draining = shutdown.clone();
        tokio::select! {
            biased;
            () = shutdown.stopped() => access.cut(By::Node),
            ended = carrying.carry(draining) => match ended {
                Ok(end) => {
                    access.ended(end);
                    tracing::debug!(%id, %address, ?end, "a visitor's flow ended");
                }
                Err(code) => {
                    access.refused(code);
                    tracing::debug!(%id, %address, %code, "a visitor's flow leads nowhere");
                }
            }
        }
        drop((place, entry));
    }
}

struct Carrying {
    node: Arc<Node>,
    hostname: Hostname,
    id: RequestId,
    visitor: Visitor,
    access: Access,
}

impl Carrying {
    async fn carry(self, mut draining: Shutdown) -> Result<FlowEnd, Code> {
        let (tunnel, stream) = self.open().await?;
        let _weight = Passing::in_full(Arc::clone(&tunnel.mix));
        let Self { node, hostname, visitor, access, .. } = self;
        let count = Count::new(Arc::clone(&tunnel.meter), access);
        let mut flow = Flow::new(stream, VisitorIo::new(visitor, count));
        let ended = tokio::select! {
            end = flow.run(IDLE) => Some(end),
            () = draining.draining() => None,
        };
        let end = match ended {
            Some(end) => end,
            None => flow.run(FlowIdle::of(FLOW_DRAINING_IDLE)).await,
        };
        match end {
            FlowEnd::Idle => flow.abort(AbortCode::Idle),
            FlowEnd::NotReached(_) => probe::failed(&node, &hostname, &tunnel),
            _ => {}
        }
        Ok(end)
    }

    /// A stream over the first tunnel that gives one. What was sent before its agent has answered is lost if that says no:
    /// datagrams may be, and who needs an answer asks again.
    async fn open(&self) -> Result<(Arc<Tunnel>, Stream), Code> {
        let address = SocketAddr::new(self.visitor.address.ip().to_canonical(), self.visitor.address.port());
        let mut choice = Choice::of(Known { address: Some(address.ip()), mark: None });
        loop {
            self.access.tried();
            let route = self.node.routes.get_kind(&self.hostname, EndpointKind::Udp);
            let route = route.ok_or(Code::AgentOffline)?;
            self.access.for_tenant(route.share.tenant());
            let tunnel = route.pick(&mut choice).map_err(|none| match none {
                NoTunnel::Gone => Code::AgentOffline,
                NoTunnel::Full => Code::EndpointBusy,
            })?;
            match tunnel.session.open(&route.header(self.id, address)).await {
                Ok(stream) => {
                    self.access.on_stream(self.id);
                    return Ok((tunnel, stream));
                }
                Err(_) => choice.pass_session(&tunnel),
            }
        }
    }
}

/// A visitor's side of a flow. What is taken of it comes in, what is sent to it goes out.
struct VisitorIo {
    visitor: Visitor,
    count: Count,
    /// Comes in only if the agent can send it on.
    early_bytes: Option<usize>,
    /// What the datagram that is on its way was granted.
    memory: Option<[Place; 2]>,
    /// Other flows wait for the same socket, so the wait is this flow's own.
    writable: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
}

impl VisitorIo {
    fn new(visitor: Visitor, count: Count) -> Self {
        Self { visitor, count, early_bytes: Some(0), memory: None, writable: None }
    }
}

impl DatagramIo for VisitorIo {
    fn poll_recv(&mut self, cx: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>> {
        self.memory = None;
        let waiting = ready!(self.visitor.queue.poll_pop(cx));
        datagram.extend_from_slice(&waiting.datagram);
        self.memory = Some(waiting.memory);
        let bytes = waiting.datagram.len();
        match &mut self.early_bytes {
            Some(early) => *early = early.saturating_add(bytes),
            None => self.count.incoming(bytes),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        let Visitor { socket, address, drops, .. } = &self.visitor;
        loop {
            if let Some(writable) = &mut self.writable {
                // What is wrong with the socket, sending says too.
                let _ = ready!(writable.as_mut().poll(cx));
                self.writable = None;
            }
            match socket.try_send_to(datagram, *address) {
                Ok(_) => self.count.outgoing(datagram.len()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let socket = Arc::clone(socket);
                    self.writable = Some(Box::pin(async move { socket.writable().await }));
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, %address, "a datagram was not sent");
                    drops.count(Dropped::Unsent);
                }
            }
            return Poll::Ready(());
        }
    }

    fn reached(&mut self) {
        self.count.access().reached();
        self.count.connection();
        self.count.incoming(self.early_bytes.take().unwrap_or(0));
    }
}
