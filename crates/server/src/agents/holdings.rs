//! The endpoints that one session serves.

use std::collections::HashMap;
use std::sync::Arc;

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, InstanceId, SessionId};
use adit_wire::control::{Unbind, UnbindReason};

use crate::hold::Holds;
use crate::node::Node;
use crate::registry::Loss;
use crate::serving::{self, Lost};

/// What a session serves. Dropped, it takes all of it out of the routes: nothing is routed to a connection that nobody
/// looks after.
pub(super) struct Holdings {
    node: Arc<Node>,
    session: SessionId,
    /// Whose session it is.
    instance: InstanceId,
    bound: HashMap<EndpointId, Claimed>,
}

impl Holdings {
    pub(super) fn new(node: Arc<Node>, session: SessionId, instance: InstanceId) -> Self {
        Self { node, session, instance, bound: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Its route is there. To be called before anything is waited for.
    pub(super) fn enter(&mut self, claimed: Claimed) {
        self.bound.insert(claimed.endpoint, claimed);
    }

    /// An endpoint that cannot be served after all.
    pub(super) fn undo(&mut self, claimed: &Claimed) {
        self.bound.remove(&claimed.endpoint);
        serving::end(&self.node, claimed, self.session, Holds::released);
    }

    /// The agent does not want an endpoint any longer, or comes back for it, and that goes for all its sessions: the others
    /// are about to say so, or dead without anybody knowing. Returns what is to be released then; `None` where it holds
    /// nothing of the kind.
    pub(super) fn unbind(&mut self, unbind: &Unbind) -> Option<Vec<Claimed>> {
        // An unbind of an epoch that is no longer held is void: it crossed a newer bind.
        self.bound.get(&unbind.endpoint).filter(|held| held.epoch <= unbind.epoch)?;
        let claimed = self.bound.remove(&unbind.endpoint)?;
        if unbind.reason == UnbindReason::AgentReturns {
            serving::end_agent(&self.node, &claimed, self.instance, Holds::vanished);
            tracing::info!(session = %self.session, hostname = %claimed.hostname, "tunnel held for its agent's return");
            return Some(Vec::new());
        }
        let was_last = serving::end_agent(&self.node, &claimed, self.instance, Holds::released);
        Some(if was_last { vec![claimed] } else { Vec::new() })
    }

    /// The agent wants none of them any longer. Returns what is to be released then.
    pub(super) fn unbind_all(&mut self) -> Vec<Claimed> {
        let bound = std::mem::take(&mut self.bound);
        self.end(bound.into_values())
    }

    /// Whether a loss concerns this session, which then serves that endpoint no more.
    pub(super) fn lose(&mut self, loss: &Loss) -> bool {
        let Loss { endpoint, epoch, reason } = *loss;
        let is_lost = |held: &Claimed| match reason {
            UnbindReason::Replaced => held.epoch < epoch,
            _ => held.epoch <= epoch,
        };
        let is_ours = self.bound.get(&endpoint).is_some_and(is_lost);
        if is_ours {
            self.bound.remove(&endpoint);
        }
        is_ours
    }

    /// Takes everything out of the routes, and notes how for those who wait. What the directory holds stays: the agent
    /// may come back for it.
    pub(super) fn leave(&mut self, how: Lost) {
        for (_, claimed) in std::mem::take(&mut self.bound) {
            serving::end(&self.node, &claimed, self.session, how);
        }
    }

    /// Serves these no more, and returns the ones that this session was the last one here to serve: they go back to the
    /// directory, however long that takes.
    fn end(&self, claimed: impl IntoIterator<Item = Claimed>) -> Vec<Claimed> {
        let was_last = |claimed: &Claimed| serving::end(&self.node, claimed, self.session, Holds::released);
        claimed.into_iter().filter(was_last).collect()
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        self.leave(Holds::vanished);
    }
}
