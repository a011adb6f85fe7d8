//! One connection of an agent: exchange, connect, bind, serve, and again, until it is asked to stop or refused for good.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adit_domain::Epoch;
use adit_process::tasks::Task;
use adit_wire::control::{BindRefusal, Bound, DrainReason};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::connect::connect;
use crate::event::Reason;
use crate::exchange::exchange;
use crate::grant::{Grant, Grants, Need, Rota};
use crate::identity::Identity;
use crate::limits::DRAINING_SESSIONS_MAX;
use crate::orders::Orders;
use crate::presence::{Presence, Voice};
use crate::session::{BindError, Served, Session, Want, Work};
use crate::setback::{Refusal, Setback, Verdict};

/// What all connections of an agent use.
pub(crate) struct Shared {
    pub(crate) orders: Orders,
    pub(crate) identity: Identity,
    pub(crate) work: Work,
    pub(crate) grants: Grants,
    pub(crate) presence: Presence,
}

/// One of them, and what only it knows.
pub(crate) struct Connection<'a> {
    shared: &'a Shared,
    rota: Rota,
    backoff: Backoff,
    voice: Option<Voice<'a>>,
    draining: VecDeque<Task<()>>,
}

/// How a connection ended for good.
pub(crate) enum End {
    /// The agent was asked to stop.
    Stopped,
    /// The server refused for good.
    Refused(Refusal),
}

/// A node has accepted a connection.
struct Connected {
    session: Session,
    /// What it was shown.
    grant: Arc<Grant>,
    /// Whether the user was told.
    was_told: bool,
}

/// How a try went.
enum Tried {
    Over(End),
    /// It, or the session that came of it, ended; after how long a session, if any.
    Again(Setback, Option<Duration>),
}

impl<'a> Connection<'a> {
    /// The one with this number, counted from 0.
    pub(crate) fn new(shared: &'a Shared, number: usize) -> Self {
        let (rota, backoff) = (Rota::starting_at(number), Backoff::default());
        Self { shared, rota, backoff, voice: None, draining: VecDeque::new() }
    }

    /// Runs until the end.
    pub(crate) async fn run(mut self) -> End {
        let end = self.live().await;
        if matches!(end, End::Stopped) {
            // They have been asked to stop, too, and have their last words to say.
            for task in self.draining {
                let _ = task.await;
            }
        }
        end
    }

    async fn live(&mut self) -> End {
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            match self.attempt(attempt).await {
                Tried::Over(end) => return end,
                Tried::Again(setback, lived) => {
                    if lived.is_some() {
                        attempt = 0;
                    }
                    if self.wait(setback, lived.unwrap_or_default()).await.is_none() {
                        return End::Stopped;
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
        self.shared.presence.waits(setback, u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let mut stop = self.shared.work.shutdown.clone();
        tokio::select! {
            biased;
            () = stop.draining() => None,
            () = sleep(delay) => Some(()),
        }
    }

    async fn attempt(&mut self, attempt: u32) -> Tried {
        let mut stop = self.shared.work.shutdown.clone();
        let connected = tokio::select! {
            biased;
            // Nothing has been asked for yet.
            () = stop.draining() => return Tried::Over(End::Stopped),
            connected = self.establish(attempt) => connected,
        };
        let bound = match connected {
            Ok(connected) => self.bind(connected).await,
            Err(verdict) => Err(verdict),
        };
        match bound {
            Ok(Some((session, bound))) => {
                // The others may dial too.
                self.voice = None;
                self.serve(session, bound).await
            }
            Ok(None) => Tried::Over(End::Stopped),
            Err(Verdict::Over(refusal)) => Tried::Over(End::Refused(refusal)),
            Err(Verdict::Again(setback)) => Tried::Again(setback, None),
        }
    }

    async fn establish(&mut self, attempt: u32) -> Result<Connected, Verdict> {
        let presence = &self.shared.presence;
        if self.voice.is_none() {
            self.voice = presence.may_dial().await;
        }
        presence.dials(attempt);
        let grant = self.renew().await?;
        let session = self.connect(&grant).await?;
        let was_told = presence.accepted(&session);
        Ok(Connected { session, grant, was_told })
    }

    /// Not to be dropped half way: a node that was asked must be told if the answer is of no interest any more.
    async fn bind(&mut self, connected: Connected) -> Result<Option<(Session, Bound)>, Verdict> {
        let Shared { work, grants, presence, .. } = self.shared;
        let Connected { mut session, grant, was_told } = connected;
        let want = self.want();
        let prior_epoch = want.prior_epoch;
        match session.bind(want, work).await {
            Ok(Some(bound)) => {
                self.rota.succeeded();
                presence.opened(&session, &bound, was_told);
                if let Some(certificate) = work.forwarder.certificate() {
                    certificate.serves(&bound.hostname);
                }
                Ok(Some((session, bound)))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.rota.failed();
                if error.wants_new_capability() {
                    grants.capability_refused(&grant);
                }
                Err(self.refused(error, prior_epoch))
            }
        }
    }

    async fn connect(&mut self, grant: &Grant) -> Result<Session, Verdict> {
        let Shared { identity, grants, work, .. } = self.shared;
        let Some(node) = self.rota.node(grant) else { return Err(no_node().into()) };
        match connect(node, grant, identity).await {
            Ok(link) => Ok(Session::start(link, work)),
            Err(error) => {
                if error.wants_new_capability() {
                    grants.capability_refused(grant);
                }
                let verdict = error.verdict(node);
                self.rota.failed();
                Err(verdict)
            }
        }
    }

    /// What is to be shown to a node. Exchanges the API key if there is need, one connection at a time. While the
    /// server's API is away, what is held still does: nodes go on without it.
    async fn renew(&mut self) -> Result<Arc<Grant>, Verdict> {
        let Shared { orders, identity, grants, .. } = self.shared;
        let mut turn = None;
        if grants.need(Instant::now(), &self.rota) != Need::Nothing {
            turn = grants.exchanging().await;
        }
        let need = grants.need(Instant::now(), &self.rota);
        if need != Need::Nothing {
            match exchange(&orders.server, identity).await {
                Ok(grant) => {
                    grants.put(grant);
                    self.rota.succeeded();
                }
                Err(error) => match error.verdict(&orders.server) {
                    Verdict::Again(setback) if need == Need::Wish => {
                        tracing::warn!(setback.message, "no fresh capability; the one in force goes on");
                    }
                    verdict => return Err(verdict),
                },
            }
        }
        drop(turn);
        grants.held().ok_or_else(|| no_node().into())
    }

    fn want(&self) -> Want {
        let Shared { orders, identity, presence, .. } = self.shared;
        let (hostname, prior_epoch) = match presence.held() {
            Some((hostname, epoch)) => (Some(hostname), epoch),
            None => (orders.url.as_ref().map(|url| url.hostname().clone()), Epoch::NONE),
        };
        let upstream = &orders.upstream;
        Want {
            kind: upstream.kind(),
            port: orders.port,
            hostname,
            label: upstream.label(),
            protocol: upstream.protocol(),
            host_header: upstream.host_header(),
            instance: identity.instance,
            prior_epoch,
            pooling: orders.pooling,
            handling: orders.handling,
        }
    }

    /// A refusal of an epoch that another connection has left behind is none of the agent.
    fn refused(&self, error: BindError, prior_epoch: Epoch) -> Verdict {
        let is_replaced =
            matches!(&error, BindError::Refused(refused) if refused.reason == BindRefusal::Replaced);
        match self.shared.presence.held() {
            Some((_, held)) if is_replaced && held > prior_epoch => {
                Setback::new(Reason::BindRefused, "another connection holds a newer epoch").into()
            }
            _ => error.verdict(),
        }
    }

    async fn serve(&mut self, mut session: Session, bound: Bound) -> Tried {
        let Shared { work, grants, presence, .. } = self.shared;
        let served = session.serve(&bound, work, grants).await;
        presence.closed();
        let lived = session.since.elapsed();
        match served {
            Served::Stopped => Tried::Over(End::Stopped),
            Served::Draining(reason, deadline) => {
                self.let_finish(session, bound, deadline);
                Tried::Again(drains(reason), Some(lived))
            }
            Served::Ended(ended) => {
                if ended.wants_new_capability() {
                    grants.capability_ended();
                }
                match ended.verdict() {
                    Verdict::Over(refusal) => Tried::Over(End::Refused(refusal)),
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
        let work = self.shared.work.clone();
        let finish = session.finish(bound, work, deadline);
        self.draining.push_back(self.shared.work.tasks.spawn("draining session", finish));
    }
}

fn no_node() -> Setback {
    Setback::new(Reason::Protocol, "the server names no node")
}

fn drains(reason: DrainReason) -> Setback {
    match reason {
        DrainReason::WornOut => {
            let message = "the connection has carried as much as one can; what is open there goes on";
            Setback::new(Reason::WornOut, message)
        }
        DrainReason::NodeLeaves | DrainReason::Unknown(_) => {
            Setback::new(Reason::Draining, "the node is shutting down; what is open there goes on")
        }
    }
}
