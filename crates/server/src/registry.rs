//! The agent sessions of this node, by id, so that a revocation finds the ones it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use adit_domain::Epoch;
use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, SessionId, TenantId};
use adit_wire::capability::Capability;
use tokio::sync::{Notify, mpsc};

use crate::limits::SESSION_COMMANDS_MAX;

/// A newer epoch took an endpoint; the session must tell its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) endpoint: EndpointId,
    pub(crate) epoch: Epoch,
}

/// Reaches one session. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Commands {
    replaced: mpsc::Sender<Replaced>,
    revoked: Arc<Notify>,
    session: adit_mux::Session,
}

/// The session's end of its [`Commands`].
pub(crate) struct Orders {
    pub(crate) replaced: mpsc::Receiver<Replaced>,
    /// The agent's key, capability or tenant may no longer be here. Apart from the queue, so that the session hears of
    /// it whatever else it waits for.
    pub(crate) revoked: Arc<Notify>,
}

impl Commands {
    pub(crate) fn channel(session: adit_mux::Session) -> (Self, Orders) {
        let (queue, replaced) = mpsc::channel(SESSION_COMMANDS_MAX);
        let revoked = Arc::new(Notify::new());
        let orders = Orders { replaced, revoked: Arc::clone(&revoked) };
        (Self { replaced: queue, revoked, session }, orders)
    }

    /// Tells of a takeover. A session that does not keep up is closed: its agent comes back and learns the truth from
    /// the answers to its binds.
    pub(crate) fn replace(&self, replaced: Replaced) {
        if self.replaced.try_send(replaced).is_err() {
            self.session.close("commands pile up");
        }
    }

    /// Ends the session.
    pub(crate) fn revoke(&self) {
        self.revoked.notify_one();
    }
}

/// All live sessions.
#[derive(Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<SessionId, Entry>>,
}

struct Entry {
    opened_with: CapabilityId,
    /// The one that keeps it open: a refresh changes it.
    in_force: CapabilityId,
    tenant: TenantId,
    api_key: ApiKeyId,
    commands: Commands,
}

impl Registry {
    /// Enters a session; it leaves when the returned guard is dropped.
    pub(crate) fn enter(&self, id: SessionId, capability: &Capability, commands: Commands) -> Entered<'_> {
        let Capability { id: opened_with, tenant, api_key, .. } = *capability;
        let entry = Entry { opened_with, in_force: opened_with, tenant, api_key, commands };
        self.lock().insert(id, entry);
        Entered { registry: self, id }
    }

    /// A session goes on with another capability.
    pub(crate) fn renew(&self, id: SessionId, capability: CapabilityId) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.in_force = capability;
        }
    }

    /// How many sessions this capability opened or keeps open.
    pub(crate) fn sessions_of(&self, capability: CapabilityId) -> usize {
        self.lock().values().filter(|entry| entry.stands_on(capability)).count()
    }

    /// Ends all sessions that came with this key.
    pub(crate) fn cut_api_key(&self, key: ApiKeyId) {
        self.cut(|entry| entry.api_key == key);
    }

    /// Ends all sessions that this capability opened or keeps open.
    pub(crate) fn cut_capability(&self, capability: CapabilityId) {
        self.cut(|entry| entry.stands_on(capability));
    }

    /// Ends all sessions of this tenant.
    pub(crate) fn cut_tenant(&self, tenant: TenantId) {
        self.cut(|entry| entry.tenant == tenant);
    }

    fn cut(&self, concerned: impl Fn(&Entry) -> bool) {
        self.lock().values().filter(|entry| concerned(entry)).for_each(|e| e.commands.revoke());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn stands_on(&self, capability: CapabilityId) -> bool {
        self.opened_with == capability || self.in_force == capability
    }
}

/// A session's stay in the registry.
pub(crate) struct Entered<'a> {
    registry: &'a Registry,
    id: SessionId,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.id);
    }
}
