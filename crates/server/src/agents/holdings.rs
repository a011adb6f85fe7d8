//! The endpoints that one session serves.

use std::collections::HashMap;
use std::sync::Arc;

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, SessionId};
use adit_wire::control::{Unbind, UnbindReason};
use tokio::time::timeout;

use crate::hold::Holds;
use crate::limits::CLAIM_DEADLINE;
use crate::node::Node;
use crate::registry::Loss;
use crate::serving::{self, Lost};

/// What a session serves. Dropped, it takes all of it out of the routes: nothing is routed to a connection that nobody
/// looks after.
pub(super) struct Holdings {
    node: Arc<Node>,
    session: SessionId,
    bound: HashMap<EndpointId, Claimed>,
}

impl Holdings {
    pub(super) fn new(node: Arc<Node>, session: SessionId) -> Self {
        Self { node, session, bound: HashMap::new() }
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

    /// The agent does not want an endpoint any longer.
    pub(super) async fn unbind(&mut self, unbind: &Unbind) {
        // An unbind of an epoch that is no longer held is void: it crossed a newer bind.
        if self.bound.get(&unbind.endpoint).is_none_or(|held| held.epoch > unbind.epoch) {
            return;
        }
        let claimed = self.bound.remove(&unbind.endpoint);
        self.give_back(claimed).await;
    }

    /// The agent wants none of them any longer.
    pub(super) async fn unbind_all(&mut self) {
        let bound = std::mem::take(&mut self.bound);
        self.give_back(bound.into_values()).await;
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

    /// Gives endpoints back to the directory, where this session was the last one here to serve them. None of them is
    /// served from the first moment on, however long the directory takes.
    async fn give_back(&self, claimed: impl IntoIterator<Item = Claimed>) {
        let served = |claimed: &Claimed| serving::end(&self.node, claimed, self.session, Holds::released);
        let given_back: Vec<_> = claimed.into_iter().filter(served).collect();
        self.release(&given_back).await;
    }

    /// Tells the directory that these are not served.
    pub(super) async fn release(&self, claimed: &[Claimed]) {
        let released = async {
            for claimed in claimed {
                let Claimed { endpoint, hostname, epoch, .. } = claimed;
                self.node.resumable.given_back(claimed);
                if let Err(error) = self.node.directory.release(*endpoint, *epoch).await {
                    tracing::warn!(%error, %hostname, "an endpoint was not released");
                }
            }
        };
        if timeout(CLAIM_DEADLINE, released).await.is_err() {
            tracing::warn!(session = %self.session, "endpoints were not released in time");
        }
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        self.leave(Holds::vanished);
    }
}
