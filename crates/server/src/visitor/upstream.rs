//! One HTTP/1.1 connection to an upstream, through its agent.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_mux::{Answer, Stream};
use adit_web::Body;
use adit_web::client::{self, SendError};
use adit_web::limits::ClientLimits;
use adit_wire::stream::{STREAM_HEADER_VERSION, StreamHeader, StreamKind};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::failure::{self, Failure};
use crate::limits::UPSTREAM_CONNECT_DEADLINE;
use crate::node::Node;
use crate::routes::Route;
use crate::tunnel::Tunnel;

/// A connection with at most one request in flight.
pub(super) struct Upstream {
    sender: client::Sender,
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

impl Upstream {
    /// Opens a stream to the agent, waits until the agent has its upstream, and speaks HTTP on it.
    pub(super) async fn open(
        node: &Node,
        route: &Route,
        visitor: SocketAddr,
        request: RequestId,
    ) -> Result<Self, Code> {
        let tunnel = route.pick().ok_or(Code::AgentOffline)?;
        let header = StreamHeader {
            version: STREAM_HEADER_VERSION,
            kind: StreamKind::Http,
            flags: 0,
            endpoint: route.endpoint(),
            epoch: route.claimed.epoch,
            request,
            visitor,
        };
        let connected = timeout(UPSTREAM_CONNECT_DEADLINE, connect(tunnel, &header)).await;
        let stream = connected.map_err(|_| Code::UpstreamConnectTimeout)??;
        let (sender, driver) =
            client::handshake(stream, ClientLimits::default()).await.map_err(|_| Code::AgentLost)?;
        // The driver ends when the sender is dropped or the stream ends; its error reaches the sender.
        node.visitor_tasks.spawn("upstream connection", async move {
            let _ = driver.await;
        });
        Ok(Self { sender, tunnel: Arc::clone(tunnel), sharing: Sharing::Anybody })
    }

    /// Sends a request and waits for the head of its response. No deadline of its own.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        if self.sender.ready().await.is_err() {
            return Err(Failure { code: Code::UpstreamBroken, unsent: Some(request) });
        }
        let sent = client::send(&mut self.sender, request, ClientLimits::default()).await;
        sent.map_err(|error| self.failure(error))
    }

    /// A connection that an earlier request left open, if there is one.
    pub(super) fn reuse(route: &Route) -> Option<Self> {
        let tunnel = route.pick()?;
        let sender = tunnel.pool.take()?;
        Some(Self { sender, tunnel: Arc::clone(tunnel), sharing: Sharing::Anybody })
    }

    /// Whether the connection leads where this route leads: to its endpoint, over a tunnel that still serves it.
    pub(super) fn serves(&self, route: &Route) -> bool {
        route.tunnels.iter().any(|tunnel| Arc::ptr_eq(tunnel, &self.tunnel))
    }

    /// From now on it is one visitor's. There is no way back: the upstream remembers whom it knows.
    pub(super) fn tie(&mut self) {
        self.sharing = Sharing::OneVisitor;
    }

    pub(super) fn sharing(&self) -> Sharing {
        self.sharing
    }

    fn failure(&self, error: SendError) -> Failure {
        match error {
            SendError::Unsent(request, error) => {
                Failure { code: failure::code_of(&error, &self.tunnel.session), unsent: Some(*request) }
            }
            SendError::Informational => Failure { code: Code::UpstreamBroken, unsent: None },
            SendError::Http(error) => {
                Failure { code: failure::code_of(&error, &self.tunnel.session), unsent: None }
            }
        }
    }

    /// Gives the connection back for the next request of whichever visitor.
    pub(super) fn into_pool(self) {
        self.tunnel.pool.put(self.sender);
    }
}

async fn connect(tunnel: &Tunnel, header: &StreamHeader) -> Result<Stream, Code> {
    let mut stream = tunnel.session.open(header).await.map_err(|error| match error {
        adit_mux::OpenError::Full => Code::EndpointBusy,
        _ => Code::AgentLost,
    })?;
    match stream.answer().await {
        Ok(Answer::Dialled) => Ok(stream),
        Ok(Answer::Refused) => Err(Code::UpstreamRefused),
        Ok(Answer::TimedOut) => Err(Code::UpstreamConnectTimeout),
        Err(_) => Err(Code::AgentLost),
    }
}
