//! The agent sessions of this node, by id, so that a revocation finds the ones it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use adit_domain::Epoch;
use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, SessionId, TenantId};
use adit_wire::capability::Capability;
use adit_wire::control::UnbindReason;
use thiserror::Error;
use tokio::sync::{Notify, mpsc};

use crate::limits::{SESSION_COMMANDS_MAX, SESSIONS_PER_CAPABILITY_MAX};
use crate::places::{NoPlace, Place};
use crate::share::TenantShare;

/// An endpoint is not the session's any more, and its agent must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) endpoint: EndpointId,
    /// The epoch that won; where there is no winner, the one that ended.
    pub(crate) epoch: Epoch,
    pub(crate) reason: UnbindReason,
}

/// Reaches one session. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Commands {
    losses: mpsc::Sender<Loss>,
    revoked: Arc<Notify>,
    session: adit_mux::Session,
}

/// The session's end of its [`Commands`].
pub(crate) struct Orders {
    pub(crate) losses: mpsc::Receiver<Loss>,
    /// The agent's key, capability or tenant may no longer be here. Apart from the queue, so that the session hears of
    /// it whatever else it waits for.
    pub(crate) revoked: Arc<Notify>,
}

impl Commands {
    pub(crate) fn channel(session: adit_mux::Session) -> (Self, Orders) {
        let (queue, losses) = mpsc::channel(SESSION_COMMANDS_MAX);
        let revoked = Arc::new(Notify::new());
        let orders = Orders { losses, revoked: Arc::clone(&revoked) };
        (Self { losses: queue, revoked, session }, orders)
    }

    /// Tells of a loss. A session that does not keep up is closed: its agent comes back and learns the truth from the
    /// answers to its binds.
    pub(crate) fn lose(&self, loss: Loss) {
        if self.losses.try_send(loss).is_err() {
            self.session.close("commands pile up");
        }
    }

    /// Ends the session.
    pub(crate) fn revoke(&self) {
        self.revoked.notify_one();
    }
}

/// All live sessions.
pub(crate) struct Registry {
    sessions_max: usize,
    sessions: Mutex<HashMap<SessionId, Entry>>,
}

struct Entry {
    opened_with: CapabilityId,
    /// The one that keeps it open: a refresh changes it.
    in_force: CapabilityId,
    tenant: TenantId,
    api_key: ApiKeyId,
    /// None until its preface is answered.
    commands: Option<Commands>,
}

/// The node, the capability or its tenant keeps as many sessions open as it may.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the node, the capability or its tenant has as many sessions as it may")]
pub(crate) struct NoRoom;

impl Registry {
    /// No sessions yet, and never more than so many.
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self { sessions_max, sessions: Mutex::default() }
    }

    /// Enters a session if the node, its capability and its tenant, whose share this is, may have one more; it leaves when
    /// the returned guard is dropped. One step, so that several that come at once do not pass the limit together.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn enter(
        &self,
        id: SessionId,
        capability: &Capability,
        share: &TenantShare,
    ) -> Result<Entered<'_>, NoRoom> {
        let Capability { id: opened_with, tenant, api_key, .. } = *capability;
        let mut sessions = self.lock();
        let open = sessions.values().filter(|entry| entry.stands_on(opened_with)).count();
        if sessions.len() >= self.sessions_max || open >= SESSIONS_PER_CAPABILITY_MAX {
            return Err(NoRoom);
        }
        let place = share.session().map_err(|NoPlace| NoRoom)?;
        let entry = Entry { opened_with, in_force: opened_with, tenant, api_key, commands: None };
        sessions.insert(id, entry);
        Ok(Entered { registry: self, id, _place: place })
    }

    /// A session goes on with another capability.
    pub(crate) fn renew(&self, id: SessionId, capability: CapabilityId) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.in_force = capability;
        }
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
        let sessions = self.lock();
        sessions.values().filter(|entry| concerned(entry)).for_each(|entry| {
            // One without commands looks for revocations as soon as it has them.
            if let Some(commands) = &entry.commands {
                commands.revoke();
            }
        });
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
    /// Its place among the sessions of its tenant.
    _place: Place,
}

impl Entered<'_> {
    /// From now on the session can be reached.
    pub(crate) fn command(&self, commands: Commands) {
        if let Some(entry) = self.registry.lock().get_mut(&self.id) {
            entry.commands = Some(commands);
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_domain::id::EndpointId;
    use adit_domain::id::{CapabilityId, SessionId, TenantId};
    use adit_domain::{Epoch, Plan, PlanLimits};
    use adit_mux::Budget;
    use adit_wire::capability::Capability;
    use adit_wire::control::UnbindReason;

    use super::{Commands, Loss, NoRoom, Registry};
    use crate::limits::{SESSION_COMMANDS_MAX, SESSIONS_PER_CAPABILITY_MAX};
    use crate::share::Shares;
    use crate::stub::capability;

    /// Longer than closing takes, and sooner than an agent is given up that never opens its control stream.
    const WITHIN: Duration = Duration::from_secs(3);

    /// Whether a session lives that was told of so many losses, and took so many of them in between.
    async fn lives_after(losses: usize, taken: usize) -> bool {
        let (io, _agent) = tokio::io::duplex(1024);
        let (session, _control, driver) = adit_mux::serve(io, &adit_mux::Config::default());
        let (commands, mut orders) = Commands::channel(session.clone());
        let (endpoint, epoch, reason) = (EndpointId::new(), Epoch(1), UnbindReason::Replaced);
        let lose = |n| (0..n).for_each(|_| commands.lose(Loss { endpoint, epoch, reason }));
        lose(losses - taken);
        for _ in 0..taken {
            orders.losses.recv().await;
        }
        lose(taken);
        tokio::time::timeout(WITHIN, driver.run()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_does_not_keep_up_with_its_commands_is_closed() {
        const MAX: usize = SESSION_COMMANDS_MAX;
        for (losses, taken, lives) in
            [(MAX - 1, 0, true), (MAX, 0, true), (MAX + 1, 0, false), (MAX + 1, 1, true)]
        {
            assert_eq!(lives_after(losses, taken).await, lives, "{losses} losses, {taken} of them taken");
        }
    }

    #[test]
    fn a_capability_opens_so_many_sessions_and_its_successor_as_many() {
        let (registry, shares) = (Registry::new(usize::MAX), Shares::new(Budget::new(0)));
        let first = capability(TenantId::new(), Plan::default().limits());
        let share = shares.of(&first);
        let enter = |capability: &Capability| registry.enter(SessionId::new(), capability, &share);
        let mut held = Vec::new();
        for n in 1..=SESSIONS_PER_CAPABILITY_MAX + 1 {
            let entered = enter(&first);
            assert_eq!(entered.is_ok(), n <= SESSIONS_PER_CAPABILITY_MAX, "{n}");
            held.extend(entered);
        }
        let second = Capability { id: CapabilityId::new(), ..first.clone() };
        assert!(enter(&second).is_ok());
        held.pop();
        assert!(enter(&first).is_ok());
    }

    #[test]
    fn a_tenant_has_so_many_sessions_over_all_its_capabilities() {
        for sessions_max in [0, 1, 3] {
            let (registry, shares, tenant) =
                (Registry::new(usize::MAX), Shares::new(Budget::new(0)), TenantId::new());
            let limits = PlanLimits { sessions_max, ..Plan::default().limits() };
            let mut held = Vec::new();
            for n in 0..=sessions_max {
                let one = capability(tenant, limits);
                let share = shares.of(&one);
                let entered = registry.enter(SessionId::new(), &one, &share);
                assert_eq!(entered.as_ref().err(), (n == sessions_max).then_some(&NoRoom));
                // As a session does.
                held.push((entered, share));
            }
            let other = capability(TenantId::new(), Plan::default().limits());
            assert!(registry.enter(SessionId::new(), &other, &shares.of(&other)).is_ok());
        }
    }

    #[test]
    fn a_node_has_so_many_sessions_whoever_has_them() {
        const MAX: usize = 3;
        let (registry, shares) = (Registry::new(MAX), Shares::new(Budget::new(0)));
        let agents: Vec<_> =
            (0..=MAX).map(|_| capability(TenantId::new(), Plan::default().limits())).collect();
        let mut held = Vec::new();
        for (n, agent) in agents.iter().enumerate() {
            let entered = registry.enter(SessionId::new(), agent, &shares.of(agent));
            assert_eq!(entered.is_ok(), n < MAX, "{n}");
            held.extend(entered);
        }
        held.pop();
        assert!(
            agents
                .last()
                .is_some_and(|agent| { registry.enter(SessionId::new(), agent, &shares.of(agent)).is_ok() })
        );
    }
}
