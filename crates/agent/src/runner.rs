//! The agent's life: exchange, connect, bind, serve, and again, until it is asked to stop or refused for good.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adit_domain::{Epoch, Hostname};
use adit_process::shutdown::Shutdown;
use adit_process::tasks::{Task, Tasks};
use adit_wire::control::Bound;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::connect::connect;
use crate::event::{Emitter, Event};
use crate::exchange::exchange;
use crate::forward::Forwarder;
use crate::grant::{Grants, Need};
use crate::identity::Identity;
use crate::limits::DRAINING_SESSIONS_MAX;
use crate::public_url::PublicUrl;
use crate::server_address::ServerAddress;
use crate::session::{BindError, Served, Session, Want, Work};
use crate::setback::{Refusal, Setback, Verdict};
use crate::upstream::Upstream;

/// How an agent ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was asked to.
    Stopped,
    /// The server refused for good.
    Refused(Refusal),
    /// It broke. This is a mistake in the agent itself.
    Failed(String),
}

/// What an agent is told to do.
pub(crate) struct Orders {
    pub(crate) server: ServerAddress,
    pub(crate) upstream: Upstream,
    pub(crate) url: Option<PublicUrl>,
}

/// Everything that outlives a session.
pub(crate) struct Runner {
    orders: Orders,
    identity: Identity,
    emitter: Emitter,
    work: Work,
    grants: Grants,
    backoff: Backoff,
    /// What was bound last: it is resumed, not taken over.
    held: Option<(Hostname, Epoch)>,
    url: Option<String>,
    draining: VecDeque<Task<()>>,
}

/// How a try went.
enum Tried {
    Stopped,
    Over(Refusal),
    /// It, or the session that came of it, ended; after how long a session, if any.
    Again(Setback, Option<Duration>),
}

impl Runner {
    pub(crate) fn new(
        orders: Orders,
        identity: Identity,
        forwarder: Forwarder,
        emitter: Emitter,
        shutdown: Shutdown,
    ) -> Self {
        let work = Work { forwarder: Arc::new(forwarder), tasks: Tasks::new("agent"), shutdown };
        Self {
            orders,
            identity,
            emitter,
            work,
            grants: Grants::default(),
            backoff: Backoff::default(),
            held: None,
            url: None,
            draining: VecDeque::new(),
        }
    }

    /// Runs until the end.
    pub(crate) async fn run(mut self) -> Outcome {
        let outcome = self.live().await;
        if let Outcome::Refused(Refusal { is_replaced: true, .. }) = &outcome {
            self.emitter.emit(Event::Replaced { url: self.url.take() });
        }
        // Streams that are still open are cut: the node tells visitors, and upstreams see a reset.
        self.work.tasks.join_all(Duration::ZERO).await;
        outcome
    }

    async fn live(&mut self) -> Outcome {
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            self.emitter.emit(Event::Connecting { attempt });
            match self.attempt().await {
                Tried::Stopped => return Outcome::Stopped,
                Tried::Over(refusal) => return Outcome::Refused(refusal),
                Tried::Again(setback, lived) => {
                    if lived.is_some() {
                        attempt = 0;
                    }
                    if self.wait(setback, lived.unwrap_or_default()).await.is_none() {
                        return Outcome::Stopped;
                    }
                }
            }
        }
    }

    /// Waits before the next try; `None` if the agent is asked to stop meanwhile.
    async fn wait(&mut self, setback: Setback, lived: Duration) -> Option<()> {
        // Without randomness the longest delay is the safe one.
        let random = getrandom::u64().unwrap_or(u64::MAX);
        let delay = self.backoff.after(lived, setback.retry_after, random);
        self.emitter.emit(Event::Disconnected {
            reason: setback.reason,
            message: setback.message,
            code: setback.code,
            retry_in_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        let mut stop = self.work.shutdown.clone();
        tokio::select! {
            biased;
            () = stop.draining() => None,
            () = sleep(delay) => Some(()),
        }
    }

    async fn attempt(&mut self) -> Tried {
        let mut stop = self.work.shutdown.clone();
        let established = tokio::select! {
            biased;
            () = stop.draining() => return Tried::Stopped,
            established = self.establish() => established,
        };
        match established {
            Ok((session, bound)) => self.serve(session, bound).await,
            Err(Verdict::Over(refusal)) => Tried::Over(refusal),
            Err(Verdict::Again(setback)) => Tried::Again(setback, None),
        }
    }

    async fn establish(&mut self) -> Result<(Session, Bound), Verdict> {
        self.renew().await?;
        let Some((grant, node)) = self.grants.node() else { return Err(no_node().into()) };
        let link = match connect(node, grant, &self.identity).await {
            Ok(link) => link,
            Err(error) => {
                let wants_new_capability = error.wants_new_capability();
                let verdict = error.verdict(node);
                if wants_new_capability {
                    self.grants.capability_refused();
                }
                self.grants.node_failed();
                return Err(verdict);
            }
        };
        let mut session = Session::start(link, &self.work.tasks);
        self.emitter.emit(Event::Connected { session: session.id, node: session.node });
        let bound = match session.bind(self.want()).await {
            Ok(bound) => bound,
            Err(error) => {
                self.grants.node_failed();
                return Err(self.bind_verdict(error));
            }
        };
        self.grants.node_succeeded();
        self.held = Some((bound.hostname.clone(), bound.epoch));
        self.url = Some(bound.url.clone());
        self.emitter.emit(Event::UrlAssigned {
            url: bound.url.clone(),
            hostname: bound.hostname.clone(),
            endpoint: bound.endpoint,
            epoch: bound.epoch,
            upstream: self.orders.upstream.to_string(),
        });
        Ok((session, bound))
    }

    /// Exchanges the API key if there is need. While the server's API is away, what is held still does: nodes go on
    /// without it.
    async fn renew(&mut self) -> Result<(), Verdict> {
        let need = self.grants.need(Instant::now());
        if need == Need::Nothing {
            return Ok(());
        }
        match exchange(&self.orders.server, &self.identity).await {
            Ok(grant) => self.grants.put(grant),
            Err(error) => match error.verdict(&self.orders.server) {
                Verdict::Again(setback) if need == Need::Wish => {
                    tracing::warn!(setback.message, "no fresh capability; the one in force goes on");
                }
                verdict => return Err(verdict),
            },
        }
        Ok(())
    }

    fn want(&self) -> Want {
        let asked = || self.orders.url.as_ref().map(|url| url.hostname().clone());
        let (hostname, prior_epoch) = match &self.held {
            Some((hostname, epoch)) => (Some(hostname.clone()), *epoch),
            None => (asked(), Epoch::NONE),
        };
        Want { hostname, label: self.orders.upstream.label(), instance: self.identity.instance, prior_epoch }
    }

    fn bind_verdict(&mut self, error: BindError) -> Verdict {
        if error.wants_new_capability() {
            self.grants.capability_refused();
        }
        error.verdict()
    }

    async fn serve(&mut self, mut session: Session, bound: Bound) -> Tried {
        let served = session.serve(&bound, &self.work, &mut self.grants).await;
        let lived = session.since.elapsed();
        match served {
            Served::Stopped => Tried::Stopped,
            Served::Draining(deadline) => {
                self.let_finish(session, bound, deadline);
                Tried::Again(node_leaves(), Some(lived))
            }
            Served::Ended(ended) => {
                if ended.wants_new_capability() {
                    self.grants.capability_refused();
                }
                match ended.verdict() {
                    Verdict::Over(refusal) => Tried::Over(refusal),
                    Verdict::Again(setback) => Tried::Again(setback, Some(lived)),
                }
            }
        }
    }

    /// The session that drains goes on beside the next one. The oldest is cut when there are too many.
    fn let_finish(&mut self, session: Session, bound: Bound, deadline: Duration) {
        self.draining.retain(|task| !task.is_finished());
        if self.draining.len() >= DRAINING_SESSIONS_MAX
            && let Some(oldest) = self.draining.pop_front()
        {
            oldest.abort();
        }
        let work = self.work.clone();
        let finish = session.finish(bound, work, deadline);
        self.draining.push_back(self.work.tasks.spawn("draining session", finish));
    }
}

fn no_node() -> Setback {
    Setback::new(crate::event::Reason::Protocol, "the server names no node")
}

fn node_leaves() -> Setback {
    Setback::new(crate::event::Reason::Draining, "the node is shutting down; what is open there goes on")
}
