//! One agent that serves an endpoint, over one session or several.

use std::sync::Arc;

use adit_domain::Pooling;
use adit_domain::id::{InstanceId, SessionId};

use crate::choice::{Choice, Need};
use crate::health::Health;
use crate::limits::TUNNELS_PER_MEMBER_MAX;
use crate::tunnel::Tunnel;

/// The tunnels of one instance. Never empty while it is part of a route.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) instance: InstanceId,
    /// How it shares the endpoint with other agents, if it does; as it said last.
    pub(crate) pooling: Option<Pooling>,
    /// What is known of its upstream.
    pub(crate) health: Arc<Health>,
    tunnels: Vec<Arc<Tunnel>>,
}

impl Member {
    pub(crate) fn new(instance: InstanceId) -> Self {
        Self { instance, pooling: None, health: Arc::default(), tunnels: Vec::new() }
    }

    /// Adds a tunnel in the place of an older one of the same session; `false` if there are [`TUNNELS_PER_MEMBER_MAX`].
    pub(crate) fn add(&mut self, tunnel: Arc<Tunnel>) -> bool {
        self.tunnels.retain(|held| held.session_id != tunnel.session_id);
        let has_room = self.tunnels.len() < TUNNELS_PER_MEMBER_MAX;
        if has_room {
            self.pooling = tunnel.pooling;
            self.tunnels.push(tunnel);
        }
        has_room
    }

    /// Takes the tunnel of this session out.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Arc<Tunnel>> {
        let at = self.tunnels.iter().position(|tunnel| tunnel.session_id == session)?;
        Some(self.tunnels.remove(at))
    }

    pub(crate) fn tunnels(&self) -> &[Arc<Tunnel>] {
        &self.tunnels
    }

    /// Requests in flight over all its sessions.
    pub(crate) fn busy(&self) -> usize {
        self.tunnels.iter().map(|tunnel| tunnel.busy()).sum()
    }

    /// Whether a session of it lives that this request has not passed over.
    pub(crate) fn is_there(&self, choice: &Choice) -> bool {
        self.tunnels.iter().any(|tunnel| tunnel.is_alive() && choice.may_use(tunnel))
    }

    /// The least loaded tunnel that does for this request. One that answers comes before one that is silent; of two
    /// equals the one with an idle upstream connection, then the one that was bound last.
    pub(crate) fn pick(&self, choice: &Choice, need: Need) -> Option<&Arc<Tunnel>> {
        let usable = |tunnel: &&Arc<Tunnel>| {
            tunnel.is_alive() && choice.may_use(tunnel) && (need == Need::Idle || tunnel.session.has_room())
        };
        self.tunnels.iter().rev().filter(usable).min_by_key(|tunnel| tunnel.load())
    }
}
