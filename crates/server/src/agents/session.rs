//! One agent session from its preface to its end.

use std::net::IpAddr;
use std::sync::Arc;

use adit_authority::Claimed;
use adit_domain::id::{InstanceId, SessionId};
use adit_mux::{Control, Session};
use adit_net::rate::{Pace, Rate};
use adit_process::shutdown::Phase;
use adit_wire::capability::Scope;
use adit_wire::control::{Bind, BindRefusal, Bound, DrainReason, Frame, GoodbyeReason, Unbind, UnbindReason};
use adit_wire::preface::Exporter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::claims::{self, Busy, Claims, Outcome};
use super::holdings::Holdings;
use super::preface;
use super::releases::Releases;
use super::standing::Standing;
use crate::hold::Holds;
use crate::limits::{
    BINDS_BURST, BINDS_INTERVAL, BINDS_PER_SESSION_MAX, RETRY_AFTER, REVOKED_GOODBYE_DEADLINE,
};
use crate::manner::{Manner, NoHost};
use crate::mix::Mix;
use crate::node::{Node, millis};
use crate::places::NoPlace;
use crate::pool::Pool;
use crate::registry::{Commands, Loss, Orders};
use crate::routes::{BindError, Route};
use crate::serving;
use crate::share::EndpointShare;
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
    let mux = adit_mux::Config { budget: admitted.share.streams(), ..node.mux.clone() };
    let (session, control, driver) = adit_mux::serve(io, &mux);
    let driver = node.agent_tasks.spawn("agent driver", driver.run());
    let (commands, orders) = Commands::channel(session.clone());
    admitted.entered.command(commands.clone());
    // Reachable first, checked after: a revocation in between is seen by one of the two.
    if node.trust.is_revoked(&admitted.capability) {
        commands.revoke();
    }
    tracing::info!(session = %admitted.session, tenant = %admitted.capability.tenant, "agent connected");
    let preface::Admitted { session: id, entered, capability, share, instance } = admitted;
    let mut agent = AgentSession {
        id,
        instance,
        standing: Standing::new(&node, id, commands.clone(), (capability, share)),
        session,
        mix: Arc::default(),
        commands,
        holdings: Holdings::new(Arc::clone(&node), id, instance),
        binds: Pace::new(Rate { burst: BINDS_BURST, interval: BINDS_INTERVAL }),
        claims: Claims::default(),
        releases: Releases::default(),
        node: Arc::clone(&node),
    };
    let ended = agent.live(control, orders).await;
    agent.session.close(ended);
    agent.holdings.leave(Holds::vanished);
    agent.releases.finish().await;
    drop((agent, entered));
    let reason = driver.await.map_or_else(|failed| failed.to_string(), |reason| reason.to_string());
    tracing::info!(session = %id, ended, reason, "agent disconnected");
}

struct AgentSession {
    node: Arc<Node>,
    id: SessionId,
    /// The running copy of the agent, as it signed it.
    instance: InstanceId,
    standing: Standing,
    session: Session,
    mix: Arc<Mix>,
    commands: Commands,
    holdings: Holdings,
    binds: Pace,
    claims: Claims,
    releases: Releases,
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
                self.holdings.leave(Holds::released);
                let goodbye = tell(&control, goodbye(GoodbyeReason::Revoked));
                let _ = timeout(REVOKED_GOODBYE_DEADLINE, goodbye).await;
                "capability revoked"
            }
            ended = self.run(&mut control, &mut orders.losses) => ended,
        }
    }

    /// Everything else that a session reacts to. Whatever it waits for, what is served stands in `holdings`: it may
    /// be dropped at any time.
    async fn run(&mut self, control: &mut Control, losses: &mut mpsc::Receiver<Loss>) -> &'static str {
        let (mut draining, mut stopping) = (self.node.shutdown.clone(), self.node.shutdown.clone());
        let retiring = self.session.clone();
        let mut drain_told = false;
        let mut worn_out_at = None;
        loop {
            let expires = self.standing.expires;
            let step = tokio::select! {
                frame = control.recv() => match frame {
                    Ok(frame) => self.hear(control, frame).await,
                    Err(_) => Err("connection ended"),
                },
                outcome = self.claims.next() => self.settle(control, outcome).await,
                () = self.releases.next() => Ok(()),
                refreshed = self.standing.refreshed(&self.node) => self.tell(control, refreshed).await,
                loss = losses.recv() => match loss {
                    Some(loss) => self.give_way(control, loss).await,
                    None => Err("commands ended"),
                },
                () = draining.draining(), if !drain_told => {
                    drain_told = true;
                    let deadline_ms = millis(self.node.drain_deadline);
                    self.tell(control, Frame::Drain { reason: DrainReason::NodeLeaves, deadline_ms }).await
                }
                () = retiring.retiring(), if worn_out_at.is_none() && !drain_told => {
                    let deadline = self.node.rotation_deadline;
                    worn_out_at = Some(Instant::now() + deadline);
                    let deadline_ms = millis(deadline);
                    self.tell(control, Frame::Drain { reason: DrainReason::WornOut, deadline_ms }).await
                }
                () = at(worn_out_at) => {
                    let _ = self.tell(control, goodbye(GoodbyeReason::WornOut)).await;
                    Err("worn out")
                }
                () = tokio::time::sleep_until(expires) => {
                    let _ = self.tell(control, goodbye(GoodbyeReason::CapabilityExpired)).await;
                    Err("capability expired")
                }
                () = stopping.stopped() => {
                    let _ = self.tell(control, goodbye(GoodbyeReason::Draining)).await;
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
                let Some(given_back) = self.holdings.unbind(&unbind) else { return Ok(()) };
                self.releases.start(&self.node, given_back);
                self.tell(control, Frame::Unbind(unbind)).await
            }
            Frame::Refresh { request } => match self.standing.refresh(&self.node, request) {
                None => Ok(()),
                Some(refused) => self.tell(control, refused).await,
            },
            Frame::Goodbye { .. } => {
                self.releases.start(&self.node, self.holdings.unbind_all());
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
                .start(&self.node, &self.standing.capability, self.instance, (bind, manner))
                .map_err(|Busy| (BindRefusal::TryLater, "too many binds at once"))
        });
        match refusal {
            Ok(()) => Ok(()),
            Err((reason, message)) => self.tell(control, claims::refused(request, reason, message)).await,
        }
    }

    /// What of a bind can be refused without asking.
    fn may_bind(&self) -> Result<(), (BindRefusal, &'static str)> {
        if self.standing.capability.scope != Scope::Tenant {
            // Nobody mints these yet; one that appears must not open more than it says.
            return Err((BindRefusal::RightMissing, "capabilities of one endpoint are not served yet"));
        }
        if self.node.shutdown.phase() > Phase::Running {
            return Err((BindRefusal::TryLater, "the node is shutting down"));
        }
        if self.binds.take(std::time::Instant::now()).is_err() {
            return Err((BindRefusal::TryLater, "too many binds in a short time"));
        }
        let endpoints_max = BINDS_PER_SESSION_MAX.min(self.standing.share.endpoints_max());
        if self.holdings.len() >= endpoints_max {
            return Err((BindRefusal::LimitReached, "too many endpoints on one session"));
        }
        // Each claim that waits may become one more.
        if self.holdings.len().saturating_add(self.claims.waiting()) >= endpoints_max {
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
                return self.tell(control, claims::refusal_of(request, &error)).await;
            }
        };
        let Some(meter) = self.node.meters.of(claimed.endpoint) else {
            let message = "the node counts as many endpoints as it can";
            return self.tell(control, claims::refused(request, BindRefusal::TryLater, message)).await;
        };
        let hold = self.node.holds.enter(&claimed.hostname, &self.standing.share);
        let tunnel = Arc::new(Tunnel {
            session_id: self.id,
            instance: self.instance,
            pooling,
            session: self.session.clone(),
            mix: Arc::clone(&self.mix),
            commands: self.commands.clone(),
            pool: Pool::new(Arc::clone(&self.mix)),
            meter,
            share: EndpointShare::new(Arc::clone(&self.standing.share)),
            hold,
            manner,
        });
        match self.node.routes.bind(&claimed, tunnel) {
            Ok(None) => {}
            Ok(Some(route)) => {
                serving::replaced(&self.node, &route.claimed);
                tell_the_losers(&route, &claimed);
            }
            Err(error) => {
                let reason = match error {
                    BindError::Stale => BindRefusal::Replaced,
                    // The next claim gets an epoch of its own.
                    BindError::Full | BindError::Ambiguous => BindRefusal::TryLater,
                    BindError::NoPlace(NoPlace) => {
                        self.releases.start(&self.node, vec![claimed]);
                        BindRefusal::LimitReached
                    }
                };
                return self.tell(control, claims::refused(request, reason, &error.to_string())).await;
            }
        }
        let bound = Bound {
            request,
            endpoint: claimed.endpoint,
            epoch: claimed.epoch,
            url: self.node.public_url(&claimed),
            hostname: claimed.hostname.clone(),
        };
        self.holdings.enter(claimed.clone());
        let node = Arc::clone(&self.node);
        if let Err(error) = self.beside(serving::open(&node, &claimed)).await {
            self.holdings.undo(&claimed);
            tracing::warn!(%error, hostname = %claimed.hostname, "a public port cannot be opened");
            let refused = claims::refused(request, BindRefusal::TryLater, "the node cannot open the port");
            return self.tell(control, refused).await;
        }
        tracing::info!(session = %self.id, hostname = %claimed.hostname, epoch = %claimed.epoch, "tunnel up");
        self.tell(control, Frame::Bound(bound)).await
    }

    async fn give_way(&mut self, control: &Control, loss: Loss) -> Step {
        if !self.holdings.lose(&loss) {
            return Ok(());
        }
        let Loss { endpoint, epoch, reason } = loss;
        self.tell(control, Frame::Unbind(Unbind { endpoint, epoch, reason })).await
    }

    /// Boxed: an idle session has no room for what it seldom says.
    async fn tell(&mut self, control: &Control, frame: Frame) -> Step {
        Box::pin(self.beside(tell(control, frame))).await
    }

    /// Does `work`, while what the directory was asked goes on: a question that nobody polls may keep a transaction
    /// open, and with it everybody else's, for as long as an agent does not read what it is told.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.claims.advance() => match never {},
            never = self.releases.advance() => match never {},
            never = self.standing.advance() => match never {},
        }
    }
}

impl Drop for AgentSession {
    fn drop(&mut self) {
        self.session.close("session dropped");
    }
}

/// Waits until this moment, for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
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
