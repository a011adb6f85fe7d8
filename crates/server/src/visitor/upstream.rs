//! One HTTP/1.1 connection to an upstream, through its agent.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::EndpointKind;
use adit_domain::id::RequestId;
use adit_mux::{Answer, Stream};
use adit_web::Body;
use adit_web::client::{self, SendError};
use adit_web::limits::ClientLimits;
use adit_wire::stream::{STREAM_HEADER_VERSION, StreamHeader, StreamKind};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::{self, Failure};
use crate::choice::Choice;
use crate::limits::{SILENCE_LOOK, UPSTREAM_CONNECT_DEADLINE};
use crate::node::Node;
use crate::routes::{NoTunnel, Route};
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
    /// Opens a stream to an agent, waits until the agent has its upstream, and speaks HTTP on it. While nothing of the
    /// request is delivered it goes on to the next session or agent that `choice` leaves.
    pub(super) async fn open(
        node: &Node,
        route: &Route,
        choice: &mut Choice,
        visitor: SocketAddr,
        request: RequestId,
    ) -> Result<Self, Code> {
        let (tunnel, stream) = Search { node, route, visitor, request }.connect(choice).await?;
        let (sender, driver) =
            client::handshake(stream, ClientLimits::default()).await.map_err(|_| Code::AgentLost)?;
        // The driver ends when the sender is dropped or the stream ends; its error reaches the sender.
        node.visitor_tasks.spawn("upstream connection", async move {
            let _ = driver.await;
        });
        Ok(Self { sender, tunnel, sharing: Sharing::Anybody })
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
    pub(super) fn reuse(route: &Route, choice: &mut Choice) -> Option<Self> {
        let (tunnel, sender) = route.reuse(choice)?;
        Some(Self { sender, tunnel, sharing: Sharing::Anybody })
    }

    /// Whether the connection leads where this route leads: to its endpoint, over a tunnel that still serves it.
    pub(super) fn serves(&self, route: &Route) -> bool {
        route.has(&self.tunnel)
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
            SendError::Informational | SendError::Ambiguous => {
                Failure { code: Code::UpstreamBroken, unsent: None }
            }
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

/// A stream over which an agent has connected to its upstream, for a connection that is carried as it is.
pub(super) async fn open_stream(
    node: &Node,
    route: &Route,
    choice: &mut Choice,
    visitor: SocketAddr,
    request: RequestId,
) -> Result<Stream, Code> {
    let (_, stream) = Search { node, route, visitor, request }.connect(choice).await?;
    Ok(stream)
}

/// The way of one request to an upstream.
struct Search<'a> {
    node: &'a Node,
    route: &'a Route,
    visitor: SocketAddr,
    request: RequestId,
}

impl Search<'_> {
    /// Tries one tunnel after the other. What failed says why, if no other is left.
    async fn connect(&self, choice: &mut Choice) -> Result<(Arc<Tunnel>, Stream), Code> {
        let deadline = Instant::now() + UPSTREAM_CONNECT_DEADLINE;
        let mut failed = None;
        loop {
            // As it is now: an agent may have come back since the request came.
            let route = self.node.routes.get(&self.route.claimed.hostname);
            let route = route.filter(|route| route.endpoint() == self.route.endpoint());
            let route = route.ok_or(failed.unwrap_or(Code::AgentOffline))?;
            let tunnel = route.pick(choice).map_err(|none| match (failed, none) {
                (Some(code), _) => code,
                (None, NoTunnel::Gone) => Code::AgentOffline,
                (None, NoTunnel::Full) => Code::EndpointBusy,
            })?;
            let header = self.header(&route);
            let has_better = || route.has_better(choice, &tunnel);
            let code = match timeout_at(deadline, connect(&tunnel, &header, has_better)).await {
                Ok(Ok(stream)) => return Ok((tunnel, stream)),
                Ok(Err(code)) => code,
                Err(_) => return Err(Code::UpstreamConnectTimeout),
            };
            match code {
                Code::UpstreamRefused | Code::UpstreamConnectTimeout => choice.pass_member(&tunnel),
                _ => choice.pass_session(&tunnel),
            }
            failed = Some(code);
        }
    }

    fn header(&self, route: &Route) -> StreamHeader {
        StreamHeader {
            version: STREAM_HEADER_VERSION,
            kind: match route.claimed.kind {
                EndpointKind::Http => StreamKind::Http,
                EndpointKind::Tcp => StreamKind::Tcp,
            },
            flags: 0,
            endpoint: route.endpoint(),
            epoch: route.claimed.epoch,
            request: self.request,
            visitor: self.visitor,
        }
    }
}

/// A stream whose agent has its upstream. On every error the upstream saw nothing of the request.
async fn connect(
    tunnel: &Tunnel,
    header: &StreamHeader,
    has_better: impl Fn() -> bool,
) -> Result<Stream, Code> {
    let mut stream = tunnel.session.open(header).await.map_err(|error| match error {
        adit_mux::OpenError::Full => Code::EndpointBusy,
        _ => Code::AgentLost,
    })?;
    let answered = {
        let mut answer = pin!(stream.answer());
        loop {
            match timeout(SILENCE_LOOK, answer.as_mut()).await {
                Ok(answered) => break answered,
                Err(_) if tunnel.is_silent() && has_better() => return Err(Code::AgentLost),
                Err(_) => {}
            }
        }
    };
    match answered {
        Ok(Answer::Dialled) => Ok(stream),
        Ok(Answer::Refused) => Err(Code::UpstreamRefused),
        Ok(Answer::TimedOut) => Err(Code::UpstreamConnectTimeout),
        Err(_) => Err(Code::AgentLost),
    }
}
