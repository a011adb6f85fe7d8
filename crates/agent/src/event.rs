//! What happens to an agent, as its user or another program is told. `docs/events.md` is the reference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_domain::id::{EndpointId, InstanceId, NodeId, SessionId};
use adit_domain::{Epoch, Hostname};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::limits::EVENTS_MAX;

/// The version of the events' schema. It grows when a field or an event changes its meaning or goes away; new ones
/// come without it.
pub const SCHEMA: u32 = 1;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The agent begins. Once, first.
    Starting {
        /// [`SCHEMA`].
        schema: u32,
        /// The agent's version.
        version: &'static str,
        /// Where it will exchange its API key.
        server: String,
        /// Where it will send visitors.
        upstream: String,
        /// This running copy.
        instance: InstanceId,
    },
    /// A try to reach a node begins.
    Connecting {
        /// Counted from 1, and from 1 again after a session.
        attempt: u32,
    },
    /// A node has accepted the agent. Visitors do not get through yet.
    Connected {
        /// The session, as in the node's log.
        session: SessionId,
        /// The node.
        node: NodeId,
    },
    /// The public URL is the agent's, and visitors get through from now on.
    UrlAssigned {
        /// The public URL.
        url: String,
        /// Its host name.
        hostname: Hostname,
        /// The endpoint.
        endpoint: EndpointId,
        /// The epoch in which the agent serves it.
        epoch: Epoch,
        /// Where visitors are sent.
        upstream: String,
    },
    /// One of several connections was opened or lost while the agent is online. An agent with one connection has no such
    /// events.
    Connections {
        /// How many are open now.
        open: usize,
        /// How many the agent wants.
        wanted: usize,
    },
    /// There is no session; the agent comes back by itself.
    Disconnected {
        /// A stable word.
        reason: Reason,
        /// The same for people.
        message: String,
        /// The stable code of the refusal, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// When the next try begins.
        retry_in_ms: u64,
    },
    /// A visitor could not be brought to the upstream. Told when it begins and from time to time while it lasts.
    UpstreamRefused {
        /// The upstream.
        upstream: String,
        /// A stable word.
        reason: UpstreamTrouble,
        /// The same for people.
        message: String,
    },
    /// Something that the user should know; the agent goes on.
    Warning {
        /// For people.
        message: String,
    },
    /// Another agent has taken over. Followed by the end.
    Replaced {
        /// The public URL that was lost, if there was one already.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// The agent has ended. Once, last.
    Stopped {
        /// The program's exit status.
        exit_code: u8,
        /// For people: why.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// For people: what to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        advice: Option<String>,
        /// The stable code of the refusal, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

/// Why there is no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No connection to the server or the node.
    Unreachable,
    /// The certificate of the server or the node is not trusted.
    Untrusted,
    /// The server or node answered with something that is not Adit, or not in this version.
    Protocol,
    /// The server or node has no room now, or failed.
    Unavailable,
    /// The node is shutting down.
    Draining,
    /// The connection has carried as much as one can, and another takes its place.
    WornOut,
    /// The capability was not accepted; the next try exchanges the API key for a new one.
    CapabilityRefused,
    /// The endpoint could not be had now.
    BindRefused,
    /// The session was there and broke.
    ConnectionLost,
}

/// Why a visitor could not be brought to the upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamTrouble {
    /// It could not be connected to.
    Refused,
    /// It did not accept the connection in time.
    TimedOut,
    /// It did not get through its TLS handshake, or its certificate is not trusted.
    Tls,
}

/// The sending end. It never waits: whoever reads events slowly must not slow down visitors. At most
/// [`EVENTS_MAX`] wait; then the newest is dropped and counted.
#[derive(Clone, Debug)]
pub(crate) struct Emitter {
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Emitter {
    pub(crate) fn emit(&self, event: Event) {
        tracing::info!(event = %as_json(&event));
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(event) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The event as other programs get it, for the log.
fn as_json(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

/// The receiving end: the events of one agent, in order.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn channel() -> (Emitter, Self) {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        (Emitter { sender, dropped: Arc::clone(&dropped) }, Self { receiver, dropped })
    }

    /// The next event, or `None` after the agent has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// The next event, or `None` after the agent has ended, for a thread outside of the runtime.
    ///
    /// # Panics
    /// Inside a runtime, as tokio's own call does.
    pub fn next_blocking(&mut self) -> Option<Event> {
        self.receiver.blocking_recv()
    }

    /// How many events were dropped because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
