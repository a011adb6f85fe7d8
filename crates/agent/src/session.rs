//! One agent session: the mux on a connection, the binding of the endpoint, and the loop that serves it.

mod agreed;
mod refresh;
mod verdict;

use std::num::NonZeroU16;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_domain::id::{EndpointId, InstanceId, NodeId, SessionId};
use adit_domain::{EndpointKind, Epoch, Handling, Hostname, Pooling, UpstreamProtocol};
use adit_mux::{
    Arrival, Budget, CloseReason, Config, ControlReceiver, ControlSender, Incoming, SendError, connect,
};
use adit_process::shutdown::Shutdown;
use adit_process::tasks::{Task, Tasks};
use adit_wire::control::{Bind, BindRefused, Bound, DrainReason, Frame, GoodbyeReason, Unbind, UnbindReason};
use adit_wire::preface::ServerPreface;
use adit_wire::record::AbortCode;
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout};

use crate::connect::Link;
use crate::forward::Forwarder;
use crate::grant::Grants;
use crate::limits::{
    BIND, BIND_SETTLED, DRAIN_MAX, FAREWELL, GRACE_RELEASED, GRACE_REPLACED, GRACE_RETURNING,
    UNBIND_CONFIRMED,
};
use crate::parting::Parting;
use agreed::config;
use refresh::Refresh;

/// The number of the only bind of a session.
const BIND_REQUEST: u32 = 1;

/// What a session is asked to serve.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// What visitors speak.
    pub(crate) kind: EndpointKind,
    /// The public port, or none for any.
    pub(crate) port: Option<NonZeroU16>,
    /// The host name, or none for the default of this agent and label.
    pub(crate) hostname: Option<Hostname>,
    /// What the upstream is called.
    pub(crate) label: String,
    /// What the upstream speaks.
    pub(crate) protocol: UpstreamProtocol,
    /// The `Host` that the upstream is sent; empty for the visitor's.
    pub(crate) host_header: String,
    /// This running copy.
    pub(crate) instance: InstanceId,
    /// What it held before.
    pub(crate) prior_epoch: Epoch,
    /// How it shares the endpoint with other agents, if it does.
    pub(crate) pooling: Option<Pooling>,
    /// How requests to the upstream are handled.
    pub(crate) handling: Handling,
}

/// A connection that a node has accepted, with the mux on it.
pub(crate) struct Session {
    control: ControlSender,
    frames: ControlReceiver,
    incoming: Incoming,
    driver: Task<CloseReason>,
    /// When it began.
    pub(crate) since: Instant,
    /// Its name in the node's log.
    pub(crate) id: SessionId,
    /// The node.
    pub(crate) node: NodeId,
}

/// Why the endpoint is not served.
#[derive(Debug, Error)]
pub(crate) enum BindError {
    /// The node said no.
    #[error("the bind was refused: {}", .0.reason)]
    Refused(BindRefused),
    /// The session ended before an answer.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// No answer in time.
    #[error("the node did not answer the bind in time")]
    Deadline,
}

/// How a session ended without being asked to.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    /// The connection.
    #[error("the connection ended: {0}")]
    Closed(#[from] CloseReason),
    /// A frame could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The node said goodbye.
    #[error("the node ended the session: {reason}")]
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
        /// What it asks for; zero if nothing.
        retry_after: Duration,
    },
    /// The node took the endpoint away.
    #[error("the endpoint was taken away: {0}")]
    Unbound(UnbindReason),
}

/// What ended the serving of a session.
pub(crate) enum Served {
    /// The agent was asked to stop.
    Stopped,
    /// Another session is to take the place of this one, which may finish meanwhile.
    Draining(DrainReason, Duration),
    /// It ended.
    Ended(Ended),
}

impl Session {
    /// Starts the mux on a connection.
    pub(crate) fn start(link: Link, work: &Work) -> Self {
        let config = Config { budget: work.budget.clone(), ..config(&link.preface) };
        let (incoming, control, driver) = connect(link.io, &config);
        let (control, frames) = control.split();
        let driver = work.tasks.spawn("session driver", driver.run());
        let ServerPreface { session: id, node, .. } = link.preface;
        Self { control, frames, incoming, driver, since: Instant::now(), id, node }
    }

    /// Asks for the endpoint. `None` if the agent is asked to stop meanwhile; the session is over then.
    ///
    /// # Errors
    /// See [`BindError`].
    pub(crate) async fn bind(&mut self, want: Want, work: &Work) -> Result<Option<Bound>, BindError> {
        let mut stop = work.shutdown.clone();
        let bind = Bind {
            request: BIND_REQUEST,
            kind: want.kind,
            hostname: want.hostname,
            port: want.port,
            label: want.label,
            upstream: want.protocol,
            host_header: want.host_header,
            instance: want.instance,
            prior_epoch: want.prior_epoch,
            pooling: want.pooling,
            handling: want.handling,
        };
        self.control.send(&Frame::Bind(bind)).await.map_err(Ended::from)?;
        let answered = tokio::select! {
            biased;
            () = stop.draining() => None,
            answered = timeout(BIND, self.bind_answer()) => Some(answered),
        };
        if let Some(answered) = answered {
            return answered.map_err(|_elapsed| BindError::Deadline)?.map(Some);
        }
        self.take_back(work).await;
        Ok(None)
    }

    async fn bind_answer(&mut self) -> Result<Bound, BindError> {
        loop {
            match self.frames.recv().await.map_err(Ended::from)? {
                Frame::Bound(bound) if bound.request == BIND_REQUEST => return Ok(bound),
                Frame::BindRefused(refused) if refused.request == BIND_REQUEST => {
                    return Err(BindError::Refused(refused));
                }
                Frame::Goodbye { reason, retry_after_ms } => {
                    return Err(goodbye(reason, retry_after_ms).into());
                }
                other => tracing::debug!(frame = ?other, "a frame before the answer to the bind"),
            }
        }
    }

    /// Serves the endpoint until something ends it.
    pub(crate) async fn serve(&mut self, bound: &Bound, work: &Work, grants: &Grants) -> Served {
        let mut stop = work.shutdown.clone();
        let mut refresh = Refresh::new(grants, Instant::now());
        loop {
            tokio::select! {
                biased;
                () = stop.draining() => {
                    self.leave(bound, work).await;
                    return Served::Stopped;
                }
                frame = self.frames.recv() => match frame {
                    Ok(Frame::Drain { reason, deadline_ms }) => {
                        return Served::Draining(reason, Duration::from_millis(deadline_ms.into()));
                    }
                    Ok(frame) => if let Err(ended) = heed(frame, bound, grants, &mut refresh) {
                        if matches!(ended, Ended::Unbound(UnbindReason::Replaced)) {
                            self.wind_down(work, GRACE_REPLACED, Confirmed::Yes).await;
                        }
                        return Served::Ended(ended);
                    },
                    Err(reason) => return Served::Ended(reason.into()),
                },
                arrival = self.incoming.next() => match arrival {
                    Some(arrival) => work.forward(arrival, bound),
                    None => return Served::Ended(self.incoming.closed().wait().await.into()),
                },
                () = sleep_until(refresh.next) => {
                    if let Err(error) = self.control.send(&refresh.ask(Instant::now())).await {
                        return Served::Ended(error.into());
                    }
                }
            }
        }
    }

    /// Lets a session that drains finish beside the next one: until the node closes it, or for `deadline`, at most
    /// [`DRAIN_MAX`]. The new session has the say about the endpoint; what is said about it here is void.
    pub(crate) async fn finish(mut self, bound: Bound, work: Work, deadline: Duration) {
        let mut stop = work.shutdown.clone();
        let end = Instant::now() + deadline.min(DRAIN_MAX);
        loop {
            tokio::select! {
                biased;
                () = stop.draining() => return self.leave(&bound, &work).await,
                () = sleep_until(end) => return,
                frame = self.frames.recv() => match frame {
                    Ok(Frame::Goodbye { .. }) | Err(_) => return,
                    Ok(other) => tracing::debug!(frame = ?other, "a frame on a session that drains"),
                },
                arrival = self.incoming.next() => match arrival {
                    Some(arrival) => work.forward(arrival, &bound),
                    None => return,
                },
            }
        }
    }

    /// Takes no more streams, lets those in flight finish, and says goodbye.
    async fn leave(&mut self, bound: &Bound, work: &Work) {
        let (reason, grace) = work.manner_of_leaving();
        let unbind = Frame::Unbind(Unbind { endpoint: bound.endpoint, epoch: bound.epoch, reason });
        if let Ok(Ok(())) = timeout(FAREWELL, self.control.send(&unbind)).await {
            self.wind_down(work, grace, Confirmed::NotYet).await;
        }
        self.say_goodbye().await;
    }

    /// Leaves although the answer to the bind is not here: the node may have bound the endpoint already, or do so any
    /// moment. Nobody who goes away without a word gives an endpoint back.
    async fn take_back(&mut self, work: &Work) {
        if let Ok(Ok(bound)) = timeout(BIND_SETTLED, self.bind_answer()).await {
            return self.leave(&bound, work).await;
        }
        // Of an agent that returns, no word is the right one: what was bound stays held.
        if work.manner_of_leaving().0 == UnbindReason::AgentAsked {
            self.say_goodbye().await;
        }
    }

    /// The last word of a session: whatever it has is given back.
    async fn say_goodbye(&mut self) {
        let farewell = async {
            let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
            self.control.send(&goodbye).await?;
            self.control.close("finished");
            drop((&mut self.driver).await);
            Ok::<(), SendError>(())
        };
        match timeout(FAREWELL, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the session ended before the farewell"),
            Err(_elapsed) => tracing::debug!("the farewell did not get through in time"),
        }
    }

    /// Lets the streams of the agent finish, for `grace` at most, or until it must end at once. None is taken: the node
    /// sends what has crossed its end elsewhere.
    async fn wind_down(&mut self, work: &Work, grace: Duration, mut confirmed: Confirmed) {
        let mut stop = work.shutdown.clone();
        let (begun, patience) = (Instant::now(), UNBIND_CONFIRMED.min(grace));
        loop {
            let finished = async {
                if confirmed == Confirmed::NotYet {
                    sleep_until(begun + patience).await;
                }
                work.streams.idle().await;
            };
            tokio::select! {
                biased;
                () = stop.stopped() => return,
                () = sleep_until(begun + grace) => return,
                frame = self.frames.recv() => match frame {
                    Ok(Frame::Unbind(_)) => confirmed = Confirmed::Yes,
                    Ok(Frame::Goodbye { .. }) | Err(_) => return,
                    Ok(other) => tracing::debug!(frame = ?other, "a frame on a session that ends"),
                },
                arrival = self.incoming.next() => match arrival {
                    Some(arrival) => arrival.stream.abort(AbortCode::NotBound),
                    None => return,
                },
                () = finished => return,
            }
        }
    }
}

/// Whether the node has said that it opens no more streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confirmed {
    Yes,
    NotYet,
}

/// Whatever ends the session ends its connection.
impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What every session of an agent shares.
#[derive(Clone)]
pub(crate) struct Work {
    /// Takes streams to the upstream.
    pub(crate) forwarder: Arc<Forwarder>,
    /// Whose tasks the sessions are.
    pub(crate) tasks: Tasks,
    /// Whose tasks the streams are.
    pub(crate) streams: Tasks,
    /// Tells when to stop.
    pub(crate) shutdown: Shutdown,
    /// How to leave then.
    pub(crate) parting: Arc<OnceLock<Parting>>,
    /// Memory for the streams of all of them.
    pub(crate) budget: Budget,
}

impl Work {
    /// What is said to the node when the agent was asked to stop, and how long streams may go on.
    fn manner_of_leaving(&self) -> (UnbindReason, Duration) {
        match self.parting.get() {
            Some(Parting::Return) => (UnbindReason::AgentReturns, GRACE_RETURNING),
            Some(Parting::Release) | None => (UnbindReason::AgentAsked, GRACE_RELEASED),
        }
    }

    /// The mux bounds how many there are.
    fn forward(&self, arrival: Arrival, bound: &Bound) {
        let forwarder = Arc::clone(&self.forwarder);
        let (endpoint, epoch): (EndpointId, Epoch) = (bound.endpoint, bound.epoch);
        drop(self.streams.spawn("stream", async move { forwarder.serve(arrival, endpoint, epoch).await }));
    }
}

/// Does what a frame on a live session says.
fn heed(frame: Frame, bound: &Bound, grants: &Grants, refresh: &mut Refresh) -> Result<(), Ended> {
    match frame {
        Frame::Goodbye { reason, retry_after_ms } => return Err(goodbye(reason, retry_after_ms)),
        // Whoever took over is named by its own, later epoch; an earlier one is about a binding before this.
        Frame::Unbind(unbind) if unbind.endpoint == bound.endpoint && unbind.epoch >= bound.epoch => {
            return Err(Ended::Unbound(unbind.reason));
        }
        Frame::Refreshed { capability, .. } => grants.refreshed(capability, Instant::now()),
        Frame::RefreshRefused { status, retry_after_ms, .. } => {
            tracing::warn!(%status, "no fresh capability; the one in force goes on");
            refresh.refused(Duration::from_millis(retry_after_ms.into()), Instant::now());
        }
        other => tracing::debug!(frame = ?other, "a frame without a meaning here"),
    }
    Ok(())
}

fn goodbye(reason: GoodbyeReason, retry_after_ms: u32) -> Ended {
    Ended::Goodbye { reason, retry_after: Duration::from_millis(retry_after_ms.into()) }
}
