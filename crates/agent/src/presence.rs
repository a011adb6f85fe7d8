//! What all connections of an agent have in common: whether it is online, what it holds, and who may dial.

use std::sync::{Mutex, MutexGuard, PoisonError};

use adit_domain::{Epoch, Hostname};
use adit_wire::control::Bound;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::event::{Emitter, Event};
use crate::session::Session;
use crate::setback::Setback;

/// One state for the user, however many connections there are: an agent is online while at least one of them has its
/// endpoint. Events are sent under the lock, so their order is the order in which things happened.
pub(crate) struct Presence {
    emitter: Emitter,
    wanted: usize,
    upstream: String,
    state: Mutex<State>,
    open: watch::Sender<usize>,
    /// Whoever has it may dial while the agent is offline.
    voice: Semaphore,
}

#[derive(Default)]
struct State {
    open: usize,
    /// What was bound last: it is resumed, not taken over.
    held: Option<(Hostname, Epoch)>,
    url: Option<String>,
}

/// The right to dial while the agent is offline. It is kept through failures, so that an outage costs the server as many
/// tries as an agent with one connection makes.
pub(crate) type Voice<'a> = SemaphorePermit<'a>;

impl Presence {
    /// An agent that is offline and wants so many connections.
    pub(crate) fn new(emitter: Emitter, wanted: usize, upstream: String) -> Self {
        let (state, open) = (Mutex::default(), watch::Sender::new(0));
        Self { emitter, wanted, upstream, state, open, voice: Semaphore::new(1) }
    }

    /// Waits until a connection may dial: at once while another is open. While none is, one of them dials and the others
    /// wait for it.
    pub(crate) async fn may_dial(&self) -> Option<Voice<'_>> {
        let mut open = self.open.subscribe();
        tokio::select! {
            biased;
            _ = open.wait_for(|open| *open > 0) => None,
            voice = self.voice.acquire() => voice.ok(),
        }
    }

    /// What the agent holds, or held last.
    pub(crate) fn held(&self) -> Option<(Hostname, Epoch)> {
        self.lock().held.clone()
    }

    /// The public URL that it has, or had last.
    pub(crate) fn url(&self) -> Option<String> {
        self.lock().url.clone()
    }

    /// A try begins.
    pub(crate) fn dials(&self, attempt: u32) {
        self.tell_offline(Event::Connecting { attempt });
    }

    /// A node has accepted a connection. Returns whether the user was told.
    pub(crate) fn accepted(&self, session: &Session) -> bool {
        self.tell_offline(Event::Connected { session: session.id, node: session.node })
    }

    /// A connection has the endpoint: visitors get through over it.
    pub(crate) fn opened(&self, session: &Session, bound: &Bound, was_told: bool) {
        let mut state = self.lock();
        state.open = state.open.saturating_add(1);
        state.held = Some((bound.hostname.clone(), bound.epoch));
        state.url = Some(bound.url.clone());
        if state.open == 1 {
            if !was_told {
                self.emitter.emit(Event::Connected { session: session.id, node: session.node });
            }
            self.emitter.emit(Event::UrlAssigned {
                url: bound.url.clone(),
                hostname: bound.hostname.clone(),
                endpoint: bound.endpoint,
                epoch: bound.epoch,
                upstream: self.upstream.clone(),
            });
        }
        self.count(&state);
    }

    /// A connection that had the endpoint has it no longer.
    pub(crate) fn closed(&self) {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        if state.open > 0 {
            self.count(&state);
        } else {
            self.open.send_replace(0);
        }
    }

    /// A try failed, or a connection was lost, and the next try begins after a while. The user is told if the agent is
    /// offline now.
    pub(crate) fn waits(&self, setback: Setback, retry_in_ms: u64) {
        let Setback { reason, message, code, .. } = setback;
        tracing::info!(message, retry_in_ms, "a connection waits before its next try");
        self.tell_offline(Event::Disconnected { reason, message, code, retry_in_ms });
    }

    fn tell_offline(&self, event: Event) -> bool {
        let state = self.lock();
        let is_offline = state.open == 0;
        if is_offline {
            self.emitter.emit(event);
        }
        is_offline
    }

    fn count(&self, state: &State) {
        self.open.send_replace(state.open);
        if self.wanted > 1 {
            self.emitter.emit(Event::Connections { open: state.open, wanted: self.wanted });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
