//! One HTTP connection to an upstream, through its agent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_domain::id::RequestId;
use adit_mux::{Answer, Grant, OpenError, Stream, StreamError};
use adit_process::tasks::Tasks;
use adit_web::Body;
use adit_web::client::{self, Sender};
use adit_web::limits::ClientLimits;
use adit_wire::record::AbortCode;
use adit_wire::stream::StreamHeader;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::failure::Failure;
use super::giving_way::GivingWay;
use super::memory::HTTP2_UPSTREAM_BYTES;
use super::next::Delivery;
use crate::choice::Choice;
use crate::limits::UPSTREAM_CONNECT_DEADLINE;
use crate::manner::Manner;
use crate::node::Node;
use crate::places::NoPlace;
use crate::pool::Idle;
use crate::routes::{NoTunnel, Route};
use crate::share::Refused;
use crate::trace::{Trace, Traced};
use crate::tunnel::Tunnel;

/// A connection with at most one request in flight.
pub(super) struct Upstream {
    sender: Sender,
    trace: Arc<Trace>,
    tunnel: Arc<Tunnel>,
    sharing: Sharing,
}

/// Who may use a connection next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Whichever visitor.
    Anybody,
    /// The visitor who authenticated it, for as long as it lives.
    OneVisitor,
}

/// When HTTP begins on a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the stream: what is sent before the agent has its upstream reaches that only if it takes the connection.
    AtOnce,
    /// When the agent has its upstream. Until then a loss costs nothing: no byte of the request was sent.
    Dialled,
}

impl Upstream {
    /// Opens a stream over one of the tunnels that `choice` leaves, and speaks HTTP on it.
    pub(super) async fn open(
        node: &Node,
        route: &Route,
        choice: &mut Choice,
        begin: Begin,
        (visitor, request): (SocketAddr, RequestId),
    ) -> Result<Self, Failure> {
        let (tunnel, mut stream, memory) = opened(route, choice, &route.header(request, visitor)).await?;
        if begin == Begin::Dialled {
            let answered = timeout(UPSTREAM_CONNECT_DEADLINE, stream.answer()).await;
            match answered.map_err(|_| Failure::undialled(&tunnel))? {
                Ok(Answer::Dialled) => {}
                Ok(answer) => return Err(Failure::not_reached(answer, &tunnel)),
                Err(StreamError::Aborted(AbortCode::Limit)) => {
                    return Err(Failure::unopened(OpenError::Full, &tunnel));
                }
                Err(_) => return Err(Failure::unopened(OpenError::Closed, &tunnel)),
            }
        }
        let (hold, mix) = (Arc::clone(&tunnel.hold), Arc::clone(&tunnel.mix));
        let trace = Arc::new(Trace::new(hold, mix, request));
        let stream = Traced::new(stream, Arc::clone(&trace), memory);
        let spoken = tunnel.manner.speak(&node.visitor_tasks, stream).await;
        let sender = spoken.map_err(|_| Failure::unopened(OpenError::Closed, &tunnel))?;
        Ok(Self { sender, trace, tunnel, sharing: Sharing::Anybody })
    }

    /// Sends a request and waits for the head of its response; for that no deadline of its own.
    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        self.tunnel.manner.dress(request.headers_mut());
        self.trace.begin();
        if self.sender.ready().await.is_err() {
            return Err(Failure::of_stream(&self.trace, &self.tunnel, Delivery::Unsent));
        }
        let sent = tokio::select! {
            biased;
            sent = client::send(&mut self.sender, request, ClientLimits::default()) => sent,
            () = self.trace.left_undialled(UPSTREAM_CONNECT_DEADLINE) => {
                return Err(Failure::undialled(&self.tunnel));
            }
        };
        if sent.is_ok() {
            self.tunnel.hold.upstream_answered();
        }
        sent.map_err(|error| Failure::of_exchange(&error, &self.trace, &self.tunnel))
    }

    /// Moves the connection's bytes, then asks `wait`: the body of a response.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        wait: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.sender.poll(cx, wait)
    }

    /// From now on, until the response has ended, the connection's bytes move whether or not anybody asks for the
    /// response's.
    pub(super) fn detach(&mut self, tasks: &Tasks) {
        if let Some(connection) = self.sender.detach() {
            tasks.spawn("upstream connection", connection);
        }
    }

    /// Leaves the connection to whoever goes on with another protocol.
    pub(super) fn let_go(self, tasks: &Tasks) {
        if let Some(connection) = self.sender.let_go() {
            tasks.spawn("upstream connection", connection);
        }
    }

    /// A connection that an earlier request left open, if there is one.
    pub(super) fn reuse(route: &Route, choice: &mut Choice) -> Option<Self> {
        let (tunnel, Idle { sender, trace }) = route.reuse(choice)?;
        Some(Self { sender, trace, tunnel, sharing: Sharing::Anybody })
    }

    /// The tunnel that it goes through.
    pub(super) fn tunnel(&self) -> Arc<Tunnel> {
        Arc::clone(&self.tunnel)
    }

    /// What is known of its stream.
    pub(super) fn trace(&self) -> Arc<Trace> {
        Arc::clone(&self.trace)
    }

    /// Whether the connection leads where this route leads: to its endpoint, over a tunnel that still serves it.
    pub(super) fn serves(&self, route: &Route) -> bool {
        route.has(&self.tunnel)
    }

    /// How the upstream is spoken to.
    pub(super) fn manner(&self) -> &Manner {
        &self.tunnel.manner
    }

    /// From now on it is one visitor's. There is no way back: the upstream remembers whom it knows.
    pub(super) fn tie(&mut self) {
        self.sharing = Sharing::OneVisitor;
    }

    pub(super) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Gives the connection back for the next request of whichever visitor, if its agent wants that.
    pub(super) fn into_pool(self) {
        if !self.manner().reuses_connections() {
            return;
        }
        self.trace.end();
        self.tunnel.pool.put(Idle { sender: self.sender, trace: self.trace });
    }
}

/// A new stream with its memory, over one of the tunnels that `choice` leaves. Where nothing is left for it, an idle
/// connection gives up its own.
async fn opened(
    route: &Route,
    choice: &mut Choice,
    header: &StreamHeader,
) -> Result<(Arc<Tunnel>, Stream, Option<Grant>), Failure> {
    let mut giving_way = GivingWay::default();
    loop {
        let full = match route.pick(choice) {
            Ok(tunnel) => match memory(&tunnel) {
                // The tenant's own: no other session has more of it.
                Err(none) => Failure::refused(Refused::NoPlace(none)),
                Ok(memory) => match tunnel.session.open(header).await {
                    Ok(stream) => return Ok((tunnel, stream, memory)),
                    Err(OpenError::Full) => Failure::unopened(OpenError::Full, &tunnel),
                    Err(error) => return Err(Failure::unopened(error, &tunnel)),
                },
            },
            Err(NoTunnel::Full) => Failure::no_tunnel(NoTunnel::Full),
            Err(NoTunnel::Gone) => return Err(Failure::no_tunnel(NoTunnel::Gone)),
        };
        if !giving_way.goes_on(route, choice, 1).await {
            return Err(full);
        }
    }
}

/// What HTTP holds of a connection for as long as that is there.
fn memory(tunnel: &Tunnel) -> Result<Option<Grant>, NoPlace> {
    tunnel.manner.speaks_http2().then(|| tunnel.share.memory(HTTP2_UPSTREAM_BYTES)).transpose()
}
