//! The way to an upstream for a connection that is carried as it is, which waits where a request would.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::{EndpointId, RequestId};
use adit_domain::{EndpointKind, Hostname};
use adit_mux::Stream;

use super::next::{Delivery, Facts, Kept, Next, Others, Repeat, what_next};
use super::search::open_stream;
use super::waiting::Waiting;
use crate::access::Access;
use crate::choice::{Choice, Known};
use crate::hold::{Came, Expired};
use crate::limits::RESENDS_MAX;
use crate::metering::Count;
use crate::mix::Passing;
use crate::node::Node;
use crate::routes::Route;
use crate::share::{Entry, Refused, Seat};

/// Where a connection that is carried as it is wants to go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// It came to the port of this endpoint.
    Port(Hostname, EndpointId),
    /// It asked for this name, whichever endpoint of kind tls has it.
    Name(Hostname),
}

impl Target {
    const fn hostname(&self) -> &Hostname {
        match self {
            Self::Port(hostname, _) | Self::Name(hostname) => hostname,
        }
    }

    /// What it takes the endpoint for, and its name.
    pub(super) const fn kind_and_hostname(&self) -> (EndpointKind, &Hostname) {
        match self {
            Self::Port(hostname, _) => (EndpointKind::Tcp, hostname),
            Self::Name(hostname) => (EndpointKind::Tls, hostname),
        }
    }

    /// Names move: whoever waits for one endpoint must not get to another, nor to what the same became, since bytes that
    /// are carried as they are must not reach a service that expects to be spoken to by the node.
    fn is(&self, route: &Route) -> bool {
        match self {
            Self::Port(_, endpoint) => {
                route.endpoint() == *endpoint && route.claimed.kind == EndpointKind::Tcp
            }
            Self::Name(_) => route.claimed.kind == EndpointKind::Tls,
        }
    }
}

/// An upstream has taken the connection.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) count: Count,
    /// To be kept until the connection has ended, as is `seat`.
    pub(super) weight: Passing,
    pub(super) seat: Option<Seat>,
}

/// The tries of one connection. Until one succeeds no byte of the visitor is sent, so each may be repeated.
pub(super) struct Connecting<'a> {
    node: &'a Arc<Node>,
    target: &'a Target,
    peer: SocketAddr,
    id: RequestId,
    access: &'a Access,
    choice: Choice,
    waiting: Waiting<'a>,
    /// Its place among the tenant's connections, from the first time that somebody serves the endpoint.
    seat: Option<Seat>,
    waits_left: u32,
}

impl<'a> Connecting<'a> {
    pub(super) fn new(
        node: &'a Arc<Node>,
        target: &'a Target,
        (peer, id, access): (SocketAddr, RequestId, &'a Access),
    ) -> Self {
        let waiting = Waiting::new(node, target.hostname(), 0);
        let choice = Choice::of(known(peer));
        Self { node, target, peer, id, access, choice, waiting, seat: None, waits_left: RESENDS_MAX }
    }

    /// Tries as often as the rules of [`what_next`] say.
    pub(super) async fn run(mut self) -> Result<Connected, Code> {
        let mut turn = None;
        loop {
            let code = match self.attempt().await {
                Ok(connected) => return Ok(connected),
                Err(code) => code,
            };
            drop(turn.take());
            match what_next(delivery(code), self.facts()) {
                Next::Answer => return Err(code),
                Next::Again | Next::AwaitAgent => self.await_agent(code).await?,
                Next::AwaitUpstream => {
                    self.choice = Choice::of(known(self.peer));
                    turn = self.waiting.for_upstream(code).await?;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<Connected, Code> {
        self.access.tried();
        let route = self.route().ok_or(Code::AgentOffline)?;
        self.access.for_tenant(route.share.tenant());
        if self.seat.is_none() {
            self.seat = Some(enter(&route)?);
        }
        let (stream, weight) = open_stream(self.node, &route, &mut self.choice, self.peer, self.id).await?;
        self.access.on_stream(self.id);
        self.access.reached();
        let count = Count::new(Arc::clone(&route.meter), self.access.clone());
        Ok(Connected { stream, weight, count, seat: self.seat.take() })
    }

    fn route(&self) -> Option<Arc<Route>> {
        self.node.routes.get(self.target.hostname()).filter(|route| self.target.is(route))
    }

    fn facts(&mut self) -> Facts {
        Facts {
            body: Kept::Whole,
            repeat: Repeat::Never,
            // The search has tried them all.
            others: Others::None,
            upstream: self.waiting.upstream(),
            time: self.waiting.time(),
        }
    }

    async fn await_agent(&mut self, code: Code) -> Result<(), Code> {
        self.waits_left = self.waits_left.checked_sub(1).ok_or(code)?;
        let (node, target) = (self.node, self.target);
        let find = || node.holds.find(target.hostname());
        let hold = find().or_else(|| node.holds.after_restart(target.hostname())).ok_or(code)?;
        // Whoever failed is not who is waited for, but may be who binds next.
        let mut choice = self.choice.clone();
        let is_there = || {
            let choice = std::mem::take(&mut choice);
            let route = node.routes.get(target.hostname()).filter(|route| target.is(route));
            route.is_some_and(|route| route.has_left(&choice))
        };
        match self.waiting.for_agent(&hold, is_there).await? {
            Ok(Came::AtOnce) => {}
            Ok(Came::Later) => self.choice = Choice::of(known(self.peer)),
            Err(Expired) => return Err(Code::AgentOffline),
        }
        Ok(())
    }
}

const fn known(peer: SocketAddr) -> Known {
    Known { address: Some(peer.ip()), mark: None }
}

fn enter(route: &Route) -> Result<Seat, Code> {
    match route.share.connection(std::time::Instant::now()) {
        Ok(Entry::Served(seat)) => Ok(seat),
        Ok(Entry::Told(_)) | Err(Refused::NoPlace(_)) => Err(Code::EndpointBusy),
        Err(Refused::TooOften) => Err(Code::EndpointFlooded),
    }
}

/// How far a connection came. An agent that was lost had nothing of it to pass on.
const fn delivery(code: Code) -> Delivery {
    match code {
        Code::AgentOffline | Code::AgentLost => Delivery::Unopened,
        Code::UpstreamRefused => Delivery::Refused,
        Code::UpstreamConnectTimeout => Delivery::TimedOut,
        _ => Delivery::Final,
    }
}
