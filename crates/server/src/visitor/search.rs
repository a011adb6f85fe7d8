//! The way to an upstream for a connection that is carried as it is: one tunnel after the other, until an agent has it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_mux::{Answer, Stream};
use adit_wire::stream::StreamHeader;
use tokio::time::{Instant, timeout, timeout_at};

use crate::choice::Choice;
use crate::limits::{SILENCE_LOOK, UPSTREAM_CONNECT_DEADLINE};
use crate::mix::Passing;
use crate::node::Node;
use crate::probe;
use crate::routes::{NoTunnel, Route};
use crate::tunnel::Tunnel;

/// A stream over which an agent has connected to its upstream, for a connection that is carried as it is, and its weight
/// on its session, to be kept as long.
pub(super) async fn open_stream(
    node: &Arc<Node>,
    route: &Route,
    choice: &mut Choice,
    visitor: SocketAddr,
    request: RequestId,
) -> Result<(Stream, Passing), Code> {
    Search { node, route, visitor, request }.connect(choice).await
}

/// The way of one request to an upstream.
struct Search<'a> {
    node: &'a Arc<Node>,
    route: &'a Route,
    visitor: SocketAddr,
    request: RequestId,
}

impl Search<'_> {
    /// Tries one tunnel after the other. What failed says why, if no other is left.
    async fn connect(&self, choice: &mut Choice) -> Result<(Stream, Passing), Code> {
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
            let header = route.header(self.request, self.visitor);
            let has_better = || route.has_better(choice, &tunnel);
            let code = match timeout_at(deadline, connect(&tunnel, &header, has_better)).await {
                Ok(Ok(stream)) => return Ok((stream, Passing::in_full(Arc::clone(&tunnel.mix)))),
                Ok(Err(Code::EndpointBusy)) => self.node.no_room(),
                Ok(Err(code)) => code,
                Err(_) => return Err(Code::UpstreamConnectTimeout),
            };
            match code {
                Code::UpstreamRefused | Code::UpstreamConnectTimeout => {
                    choice.pass_member(&tunnel);
                    probe::failed(self.node, &self.route.claimed.hostname, &tunnel);
                }
                _ => choice.pass_session(&tunnel),
            }
            failed = Some(code);
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
        Ok(Answer::Dialled) => {
            tunnel.hold.upstream_answered();
            Ok(stream)
        }
        Ok(Answer::Refused) => Err(Code::UpstreamRefused),
        Ok(Answer::TimedOut) => Err(Code::UpstreamConnectTimeout),
        Err(_) => Err(Code::AgentLost),
    }
}
