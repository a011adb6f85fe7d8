//! The tries of one request: until it is answered, or the visitor must be told that it is not.

use std::pin::pin;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_domain::{EndpointKind, Hostname};
use adit_web::{Body, body};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::VisitorConnection;
use super::failure::{Failure, found_by_http};
use super::giving_way;
use super::memory::Memory;
use super::next::{Delivery, Facts, Kept, Next, Others, Repeat, what_next};
use super::patience::{Patience, Talk};
use super::replay::Source;
use super::sending::{Late, Noted, Sending, answer_in_time};
use super::upstream::{Begin, Upstream};
use super::waiting::Waiting;
use crate::access::Access;
use crate::choice::{Choice, Known};
use crate::hold::{Came, Expired, Hold};
use crate::limits::{RESENDS_MAX, SILENCE_LOOK};
use crate::metering::Count;
use crate::node::Node;
use crate::places::NoPlace;
use crate::probe;
use crate::routes::Route;
use crate::share::{Refused, RequestPlace};
use crate::trace::Trace;
use crate::tunnel::Tunnel;

/// A request as it can be sent, more than once if it must.
pub(super) struct Message {
    pub(super) head: Parts,
    /// `None`: it has no body.
    pub(super) body: Option<Source>,
    pub(super) repeat: Repeat,
    pub(super) memory: Memory,
    pub(super) talk: Talk,
    /// Whether it wants to go on with another protocol.
    pub(super) asks_upgrade: bool,
    /// Who asks.
    pub(super) visitor: Known,
    pub(super) access: Access,
}

/// A response whose head is here.
pub(super) struct Answered {
    pub(super) upstream: Upstream,
    pub(super) response: Response<Incoming>,
    /// How far the request's body has come.
    pub(super) sending: Option<Arc<Sending>>,
    /// As the plan of whoever serves it says.
    pub(super) patience: Patience,
    /// To be kept until the response has ended, whichever way.
    pub(super) place: Option<RequestPlace>,
}

/// Where a request goes, and what has been tried.
pub(super) struct Tries<'a> {
    node: &'a Arc<Node>,
    connection: &'a VisitorConnection,
    hostname: &'a Hostname,
    id: RequestId,
    message: Message,
    visitor: Known,
    choice: Choice,
    /// Its place among the endpoint's requests, from the first time that somebody serves it.
    place: Option<RequestPlace>,
    resends_left: u32,
    waiting: Waiting<'a>,
}

impl<'a> Tries<'a> {
    pub(super) fn new(
        node: &'a Arc<Node>,
        connection: &'a VisitorConnection,
        hostname: &'a Hostname,
        id: RequestId,
        message: Message,
    ) -> Self {
        let (visitor, memory) = (message.visitor, message.memory);
        Self {
            node,
            connection,
            hostname,
            id,
            message,
            choice: Choice::of(visitor),
            visitor,
            place: None,
            resends_left: RESENDS_MAX,
            waiting: Waiting::new(node, hostname, memory.waiting()),
        }
    }

    /// Sends the request as often as the rules of [`what_next`] say. Dropped, it leaves nothing behind.
    pub(super) async fn run(mut self) -> Result<Answered, Code> {
        let mut turn = None;
        loop {
            let failure = match self.attempt().await {
                Ok(answered) => return Ok(answered),
                Err(failure) => failure,
            };
            drop(turn.take());
            tracing::debug!(id = %self.id, delivery = ?failure.delivery, code = %failure.code, "a try failed");
            let facts = self.facts(&failure);
            match what_next(failure.delivery, facts) {
                Next::Answer if failure.delivery == Delivery::NoRoom => {
                    // What this one had is free again, and must not be what the node lacks.
                    drop(self.place.take());
                    return Err(self.node.no_room());
                }
                Next::Answer => return Err(failure.code),
                Next::Again => self.count_resend(&failure)?,
                Next::AwaitAgent => {
                    self.count_resend(&failure)?;
                    // Apart, as is all that most requests do not need: so much less room for each.
                    Box::pin(self.await_agent(&failure)).await?;
                }
                Next::AwaitUpstream => {
                    self.choice = Choice::of(self.visitor);
                    turn = Box::pin(self.waiting.for_upstream(failure.code)).await?;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<Answered, Failure> {
        let access = &self.message.access;
        access.tried();
        let route = self.node.routes.get(self.hostname).ok_or(Failure::no_agent())?;
        access.for_tenant(route.share.tenant());
        if route.claimed.kind != EndpointKind::Http {
            return Err(Failure::not_http(route.claimed.kind));
        }
        if self.message.asks_upgrade && !route.can_upgrade() {
            return Err(Failure::not_carried());
        }
        if self.place.is_none() {
            self.place = Some(self.enter(&route).await?);
        }
        let mut upstream = self.upstream(&route).await?;
        let (trace, tunnel) = (upstream.trace(), upstream.tunnel());
        self.message.access.on_stream(trace.opened_for());
        // While nobody served it, nobody knew the plan.
        let patience = self.message.talk.patience(route.share.idle_max());
        let (body, sending) = self.body(&upstream, patience);
        let request = Request::from_parts(self.message.head.clone(), body);
        let sent = {
            let answer = pin!(upstream.send(request));
            let dialled = async {
                trace.dialled().await;
                if let Some(body) = &self.message.body {
                    body.dialled();
                }
                std::future::pending().await
            };
            tokio::select! {
                biased;
                sent = answer_in_time(sending.as_deref(), patience.response, answer) => sent,
                never = dialled => never,
                () = self.silence(&tunnel, &trace) => return Err(Failure::silent(&tunnel)),
            }
        };
        if let Some(body) = self.message.body.as_ref().filter(|_| trace.is_dialled()) {
            body.dialled();
        }
        let response = sent.map_err(|Late| Failure::late())??;
        Ok(Answered { upstream, response, sending, patience, place: self.place.take() })
    }

    async fn enter(&self, route: &Route) -> Result<RequestPlace, Failure> {
        let now = std::time::Instant::now();
        let entered = async {
            let (place, bytes) = (route.share.request(now)?, self.message.memory.served());
            let memory = match route.share.memory(bytes) {
                Ok(memory) => memory,
                // Boxed: few need it.
                Err(NoPlace) => Box::pin(giving_way::memory(route, &self.choice, bytes)).await?,
            };
            Ok(place.holding(memory))
        };
        entered.await.map_err(|refused: Refused| {
            if !route.share.may_ask_again(now) {
                self.connection.leave();
            }
            Failure::refused(refused)
        })
    }

    /// A connection that is there already where that is safe, else a fresh one.
    async fn upstream(&mut self, route: &Route) -> Result<Upstream, Failure> {
        let is_first = self.resends_left == RESENDS_MAX;
        let reusable = match self.connection.pinned(route) {
            None if is_first && self.message.repeat == Repeat::Once => {
                Upstream::reuse(route, &mut self.choice)
            }
            pinned => pinned,
        };
        if let Some(upstream) = reusable {
            return Ok(upstream);
        }
        // The one repetition must not be wasted: the other sessions of an agent that was killed look alive for a moment.
        let begin = if self.message.repeat == Repeat::Done { Begin::Dialled } else { Begin::AtOnce };
        let of = (self.connection.peer, self.id);
        Box::pin(Upstream::open(self.node, route, &mut self.choice, begin, of)).await
    }

    fn body(&self, upstream: &Upstream, patience: Patience) -> (Body, Option<Arc<Sending>>) {
        let Some(source) = &self.message.body else { return (body::empty(), None) };
        let sending = Arc::new(Sending::new());
        let count = Count::new(Arc::clone(&upstream.tunnel().meter), self.message.access.clone());
        let replay = source.replay(patience.request_body, upstream.trace(), count);
        let body = Noted::new(replay, Arc::clone(&sending));
        (body.boxed_unsync(), Some(sending))
    }

    fn facts(&mut self, failure: &Failure) -> Facts {
        failure.narrow(&mut self.choice);
        if let (Delivery::Refused | Delivery::TimedOut, Some(tunnel)) = (failure.delivery, &failure.tunnel) {
            probe::failed(self.node, self.hostname, tunnel);
        }
        let is_there = self.node.routes.get(self.hostname).is_some_and(|route| route.has_left(&self.choice));
        if failure.delivery == Delivery::Unknown && !is_there {
            // The same session will do, if it lives: perhaps it was the upstream that broke off.
            self.choice = Choice::of(self.visitor);
        }
        Facts {
            body: self.message.body.as_ref().map_or(Kept::Whole, Source::kept),
            repeat: match &failure.tunnel {
                Some(tunnel) if !tunnel.manner.sends_again() => Repeat::Never,
                _ => self.message.repeat,
            },
            others: if is_there { Others::There } else { Others::None },
            upstream: self.waiting.upstream(),
            time: self.waiting.time(),
        }
    }

    fn count_resend(&mut self, failure: &Failure) -> Result<(), Code> {
        self.resends_left = self.resends_left.checked_sub(1).ok_or(failure.code)?;
        if failure.delivery == Delivery::Unknown {
            self.message.repeat = Repeat::Done;
        }
        Ok(())
    }

    /// Waits until the agent owes an answer for too long and there is a better way. What may not be sent twice stays
    /// where it is: the agent may have it, and only its answers may be lost.
    async fn silence(&self, tunnel: &Tunnel, trace: &Trace) {
        if self.message.repeat != Repeat::Once || !tunnel.manner.sends_again() {
            return std::future::pending().await;
        }
        let has_better = || {
            let route = self.node.routes.get(self.hostname);
            route.is_some_and(|route| route.has_better(&self.choice, tunnel))
        };
        while !trace.is_dialled() {
            sleep(SILENCE_LOOK).await;
            if !trace.is_dialled() && tunnel.is_silent() && has_better() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn await_agent(&mut self, failure: &Failure) -> Result<(), Code> {
        let (node, hostname) = (self.node, self.hostname);
        let hold = match node.holds.find(hostname) {
            Some(hold) => hold,
            None => self.hold_after_restart().await?,
        };
        // Whoever failed is not who is waited for, but may be who binds next.
        let mut choice = self.choice.clone();
        let is_there = || {
            let choice = std::mem::take(&mut choice);
            node.routes.get(hostname).is_some_and(|route| route.has_left(&choice))
        };
        match self.waiting.for_agent(&hold, is_there).await? {
            Ok(Came::AtOnce) => Ok(()),
            Ok(Came::Later) => {
                self.choice = Choice::of(self.visitor);
                Ok(())
            }
            Err(Expired) if failure.delivery == Delivery::Unopened => Err(self.unserved().await),
            Err(Expired) => Err(failure.code),
        }
    }

    async fn hold_after_restart(&self) -> Result<Arc<Hold>, Code> {
        let code = self.unserved().await;
        let is_known = code == Code::AgentOffline;
        let hold = if is_known { self.node.holds.after_restart(self.hostname) } else { None };
        hold.ok_or(code)
    }

    /// Why nobody serves this name.
    async fn unserved(&self) -> Code {
        match self.node.known.kind_of(self.node.directory.as_ref(), self.hostname).await {
            Ok(kind) => kind.map_or(Code::EndpointUnknown, found_by_http),
            Err(error) => {
                // Visitors may not fill the log. That the directory is away is said where changes are followed.
                tracing::debug!(%error, "the directory cannot be asked whether an endpoint exists");
                Code::ControlPlaneUnavailable
            }
        }
    }
}
