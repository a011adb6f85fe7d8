//! One agent session from its preface to its end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use adit_authority::{Claimed, RefreshError};
use adit_domain::Hostname;
use adit_domain::id::{EndpointId, InstanceId, SessionId};
use adit_mux::{Control, Session};
use adit_net::rate::{Pace, Rate, TooOften};
use adit_process::shutdown::Phase;
use adit_wire::capability::{Capability, Scope};
use adit_wire::control::{Bind, BindRefusal, Bound, Frame, GoodbyeReason, Unbind, UnbindReason};
use adit_wire::preface::{Exporter, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::claims::{self, Busy, Claims, Outcome};
use super::preface;
use crate::hold::Holds;
use crate::limits::{
    BINDS_PER_SESSION_MAX, CLAIM_DEADLINE, REFRESHES_BURST, REFRESHES_INTERVAL, RETRY_AFTER,
    REVOKED_GOODBYE_DEADLINE, ROTATION_DEADLINE,
};
use crate::manner::{Manner, NoHost};
use crate::node::{Node, millis};
use crate::pool::Pool;
use crate::registry::{Commands, Loss, Orders};
use crate::routes::{BindError, Route};
use crate::serving;
use crate::share::{EndpointShare, TenantShare};
use crate::tunnel::Tunnel;

/// Serves an agent's connection until it ends. `io` is past its TLS handshake.
pub(crate) async fn serve<S>(node: Arc<Node>, mut io: S, exporter: Exporter, peer: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stopping = node.shutdown.clone();
    let exchanged = tokio::select! {
        exchanged = preface::exchange(&node, &mut io, &exporter, peer) => exchanged,
        // Whoever has not even said who it is keeps no node waiting.
        () = stopping.stopped() => return,
    };
    let admitted = match exchanged {
        Ok(admitted) => admitted,
        Err(failure) => return tracing::debug!(%failure, "an agent was not admitted"),
    };
    let share = node.shares.of(admitted.capability.tenant);
    let mux = adit_mux::Config { budget: share.streams(), ..node.mux.clone() };
    let (session, control, driver) = adit_mux::serve(io, &mux);
    let driver = node.agent_tasks.spawn("agent driver", driver.run());
    let (commands, orders) = Commands::channel(session.clone());
    admitted.entered.command(commands.clone());
    // Reachable first, checked after: a revocation in between is seen by one of the two.
    if node.trust.is_revoked(&admitted.capability) {
        commands.revoke();
    }
    tracing::info!(session = %admitted.session, tenant = %admitted.capability.tenant, "agent connected");
    let preface::Admitted { session: id, entered, capability, instance } = admitted;
    let mut agent = AgentSession {
        node: Arc::clone(&node),
        id,
        instance,
        expires: expiry(&node, &capability),
        capability,
        session,
        commands,
        bound: HashMap::new(),
        claims: Claims::default(),
        share,
        refreshes: Pace::new(Rate { burst: REFRESHES_BURST, interval: REFRESHES_INTERVAL }),
    };
    let ended = agent.live(control, orders).await;
    agent.session.close(ended);
    drop((agent, entered));
    let reason = driver.await.map_or_else(|failed| failed.to_string(), |reason| reason.to_string());
    tracing::info!(session = %id, ended, reason, "agent disconnected");
}

struct AgentSession {
    node: Arc<Node>,
    id: SessionId,
    /// The running copy of the agent, as it signed it.
    instance: InstanceId,
    capability: Capability,
    /// When the capability ends. Fixed when it is taken in: a wall clock that jumps later ends no session.
    expires: Instant,
    session: Session,
    commands: Commands,
    /// What this session serves.
    bound: HashMap<EndpointId, Claimed>,
    claims: Claims,
    /// What the tenant may use on this node.
    share: Arc<TenantShare>,
    refreshes: Pace,
}

/// Whether the loop goes on, or why it ends.
type Step = Result<(), &'static str>;

impl AgentSession {
    /// Runs until the end, which a revocation is wherever the loop waits: for a slow directory, or for an agent that
    /// does not read.
    async fn live(&mut self, mut control: Control, mut orders: Orders) -> &'static str {
        tokio::select! {
            biased;
            () = orders.revoked.notified() => {
                self.leave(Holds::released);
                let goodbye = tell(&control, goodbye(GoodbyeReason::Revoked));
                let _ = timeout(REVOKED_GOODBYE_DEADLINE, goodbye).await;
                "capability revoked"
            }
            ended = self.run(&mut control, &mut orders.losses) => ended,
        }
    }

    /// Everything else that a session reacts to. Whatever it waits for, what is served stands in `bound`: it may be
    /// dropped at any time.
    async fn run(&mut self, control: &mut Control, losses: &mut mpsc::Receiver<Loss>) -> &'static str {
        let (mut draining, mut stopping) = (self.node.shutdown.clone(), self.node.shutdown.clone());
        let retiring = self.session.clone();
        let mut drain_told = false;
        loop {
            let step = tokio::select! {
                frame = control.recv() => match frame {
                    Ok(frame) => self.hear(control, frame).await,
                    Err(_) => Err("connection ended"),
                },
                outcome = self.claims.next() => self.settle(control, outcome).await,
                loss = losses.recv() => match loss {
                    Some(loss) => self.give_way(control, loss).await,
                    None => Err("commands ended"),
                },
                () = draining.draining(), if !drain_told => {
                    drain_told = true;
                    let deadline_ms = millis(self.node.drain_deadline);
                    tell(control, Frame::Drain { deadline_ms }).await
                }
                () = retiring.retiring(), if !drain_told => {
                    drain_told = true;
                    let deadline_ms = millis(ROTATION_DEADLINE);
                    tell(control, Frame::Drain { deadline_ms }).await
                }
                () = tokio::time::sleep_until(self.expires) => {
                    let _ = tell(control, goodbye(GoodbyeReason::CapabilityExpired)).await;
                    Err("capability expired")
                }
                () = stopping.stopped() => {
                    let _ = tell(control, goodbye(GoodbyeReason::Draining)).await;
                    Err("node stopped")
                }
            };
            if let Err(reason) = step {
                return reason;
            }
        }
    }

    async fn hear(&mut self, control: &Control, frame: Frame) -> Step {
        match frame {
            Frame::Bind(bind) => self.bind(control, bind).await,
            Frame::Unbind(unbind) => {
                self.unbind(&unbind).await;
                Ok(())
            }
            Frame::Refresh { request } => self.refresh(control, request).await,
            Frame::Goodbye { .. } => {
                self.unbind_all().await;
                Err("agent said goodbye")
            }
            // Frames that only a node sends carry no meaning here.
            _ => Ok(()),
        }
    }

    async fn bind(&mut self, control: &Control, bind: Bind) -> Step {
        let request = bind.request;
        let manner = self.may_bind().and_then(|()| {
            Manner::of(&bind).map_err(|NoHost| {
                (BindRefusal::NameInvalid, "the host header for the upstream is not a host")
            })
        });
        let refusal = manner.and_then(|manner| {
            self.claims
                .start(&self.node, &self.capability, self.instance, (bind, manner))
                .map_err(|Busy| (BindRefusal::TryLater, "too many binds at once"))
        });
        match refusal {
            Ok(()) => Ok(()),
            Err((reason, message)) => tell(control, claims::refused(request, reason, message)).await,
        }
    }

    /// What of a bind can be refused without asking.
    fn may_bind(&self) -> Result<(), (BindRefusal, &'static str)> {
        if self.capability.scope != Scope::Tenant {
            // Nobody mints these yet; one that appears must not open more than it says.
            return Err((BindRefusal::RightMissing, "capabilities of one endpoint are not served yet"));
        }
        if self.node.shutdown.phase() > Phase::Running {
            return Err((BindRefusal::TryLater, "the node is shutting down"));
        }
        let endpoints_max = BINDS_PER_SESSION_MAX.min(usize::from(self.capability.endpoints_max));
        if self.bound.len() >= endpoints_max {
            return Err((BindRefusal::LimitReached, "too many endpoints on one session"));
        }
        // Each claim that waits may become one more.
        if self.bound.len().saturating_add(self.claims.waiting()) >= endpoints_max {
            return Err((BindRefusal::TryLater, "too many binds at once"));
        }
        Ok(())
    }

    /// The directory has answered: from here on the endpoint is served, and its older tunnels are not.
    async fn settle(&mut self, control: &Control, outcome: Outcome) -> Step {
        let Outcome { request, manner, pooling, result } = outcome;
        let claimed = match result {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::info!(session = %self.id, %error, "bind refused");
                return tell(control, claims::refusal_of(request, &error)).await;
            }
        };
        let Some(meter) = self.node.meters.of(claimed.endpoint) else {
            let message = "the node counts as many endpoints as it can";
            return tell(control, claims::refused(request, BindRefusal::TryLater, message)).await;
        };
        let hold = self.node.holds.enter(&claimed.hostname);
        let tunnel = Arc::new(Tunnel {
            session_id: self.id,
            instance: self.instance,
            pooling,
            session: self.session.clone(),
            commands: self.commands.clone(),
            pool: Pool::default(),
            meter,
            share: EndpointShare::new(Arc::clone(&self.share)),
            hold: Arc::clone(&hold),
            manner,
        });
        match self.node.routes.bind(&claimed, tunnel) {
            Ok(ended) => {
                hold.bound();
                if let Some(route) = ended {
                    tell_the_losers(&route, &claimed);
                }
            }
            Err(error) => {
                let reason = match error {
                    BindError::Stale => BindRefusal::Replaced,
                    BindError::Full => BindRefusal::TryLater,
                };
                return tell(control, claims::refused(request, reason, &error.to_string())).await;
            }
        }
        let bound = Bound {
            request,
            endpoint: claimed.endpoint,
            epoch: claimed.epoch,
            url: self.node.public_url(&claimed),
            hostname: claimed.hostname.clone(),
        };
        // Entered before anything is waited for: whatever drops this session takes it out again.
        self.bound.insert(claimed.endpoint, claimed.clone());
        if let Err(error) = serving::open(&self.node, &claimed).await {
            self.bound.remove(&claimed.endpoint);
            if serving::end(&self.node, &claimed, self.id) {
                self.node.holds.released(&claimed.hostname);
            }
            tracing::warn!(%error, hostname = %claimed.hostname, "a public port cannot be opened");
            let refused = claims::refused(request, BindRefusal::TryLater, "the node cannot open the port");
            return tell(control, refused).await;
        }
        tracing::info!(session = %self.id, hostname = %claimed.hostname, epoch = %claimed.epoch, "tunnel up");
        tell(control, Frame::Bound(bound)).await
    }

    async fn unbind(&mut self, unbind: &Unbind) {
        // An unbind of an epoch that is no longer held is void: it crossed a newer bind.
        if self.bound.get(&unbind.endpoint).is_none_or(|held| held.epoch > unbind.epoch) {
            return;
        }
        let claimed = self.bound.remove(&unbind.endpoint);
        self.give_back(claimed).await;
    }

    async fn unbind_all(&mut self) {
        let bound = std::mem::take(&mut self.bound);
        self.give_back(bound.into_values()).await;
    }

    /// Gives endpoints back to the directory, where this session was the last one here to serve them. None of them is
    /// served from the first moment on, however long the directory takes.
    async fn give_back(&mut self, claimed: impl IntoIterator<Item = Claimed>) {
        let served = |claimed: &Claimed| serving::end(&self.node, claimed, self.id);
        let given_back: Vec<_> = claimed.into_iter().filter(served).collect();
        for Claimed { hostname, .. } in &given_back {
            self.node.holds.released(hostname);
        }
        let released = async {
            for Claimed { endpoint, hostname, epoch, .. } in &given_back {
                if let Err(error) = self.node.directory.release(*endpoint, *epoch).await {
                    tracing::warn!(%error, %hostname, "an endpoint was not released");
                }
            }
        };
        if timeout(CLAIM_DEADLINE, released).await.is_err() {
            tracing::warn!(session = %self.id, "endpoints were not released in time");
        }
    }

    async fn refresh(&mut self, control: &Control, request: u32) -> Step {
        if let Err(TooOften(wait)) = self.refreshes.take(std::time::Instant::now()) {
            let (status, retry_after_ms) = (Status::RateLimited, millis(wait));
            return tell(control, Frame::RefreshRefused { request, status, retry_after_ms }).await;
        }
        let refused = |status| Frame::RefreshRefused { request, status, retry_after_ms: millis(RETRY_AFTER) };
        let answered = timeout(CLAIM_DEADLINE, self.node.admission.refresh(&self.capability)).await;
        let answer = match answered {
            Ok(Ok(capability)) => {
                if let Ok(renewed) = self.node.trust.verify(&capability, self.node.now()) {
                    self.renew(renewed);
                }
                Frame::Refreshed { request, capability }
            }
            Ok(Err(RefreshError::Revoked)) => refused(Status::CapabilityRevoked),
            // The agent asks again; its capability is still good for a long time.
            Ok(Err(RefreshError::Unavailable(_))) | Err(_) => refused(Status::Overloaded),
        };
        tell(control, answer).await
    }

    fn renew(&mut self, renewed: Capability) {
        self.node.agents.renew(self.id, renewed.id);
        // Entered first, checked after, as at the start.
        if self.node.trust.is_revoked(&renewed) {
            self.commands.revoke();
        }
        self.expires = expiry(&self.node, &renewed);
        self.capability = renewed;
    }

    async fn give_way(&mut self, control: &Control, loss: Loss) -> Step {
        let Loss { endpoint, epoch, reason } = loss;
        let is_lost = |held: &Claimed| match reason {
            UnbindReason::Replaced => held.epoch < epoch,
            _ => held.epoch <= epoch,
        };
        if !self.bound.get(&endpoint).is_some_and(is_lost) {
            return Ok(());
        }
        self.bound.remove(&endpoint);
        tell(control, Frame::Unbind(Unbind { endpoint, epoch, reason })).await
    }

    /// Takes everything of this session out of the routes, and notes how for those who wait. What the directory holds
    /// stays: the agent may come back for it.
    fn leave(&mut self, how: fn(&Holds, &Hostname)) {
        for (_, claimed) in std::mem::take(&mut self.bound) {
            if serving::end(&self.node, &claimed, self.id) {
                how(&self.node.holds, &claimed.hostname);
            }
        }
    }
}

impl Drop for AgentSession {
    /// However the session's task ends, nothing is routed to a connection that nobody looks after.
    fn drop(&mut self) {
        self.leave(Holds::vanished);
        self.session.close("session dropped");
    }
}

/// When a capability ends, as far as anyone knows now.
fn expiry(node: &Node, capability: &Capability) -> Instant {
    Instant::now() + capability.expires_at.since(node.now())
}

/// Whoever served a route that `claimed` ended is told so.
fn tell_the_losers(route: &Route, claimed: &Claimed) {
    let Claimed { endpoint, epoch, .. } = route.claimed;
    let loss = if endpoint == claimed.endpoint {
        // The epoch that won, so that the loser knows its own is older.
        Loss { endpoint, epoch: claimed.epoch, reason: UnbindReason::Replaced }
    } else {
        Loss { endpoint, epoch, reason: UnbindReason::EndpointRemoved }
    };
    for tunnel in route.tunnels() {
        tunnel.pool.clear();
        tunnel.commands.lose(loss);
    }
}

async fn tell(control: &Control, frame: Frame) -> Step {
    control.send(&frame).await.map_err(|_| "connection ended")
}

fn goodbye(reason: GoodbyeReason) -> Frame {
    Frame::Goodbye { reason, retry_after_ms: millis(RETRY_AFTER) }
}
