//! What a session stands on: its capability, and for how long.

use std::sync::Arc;

use adit_authority::RefreshError;
use adit_domain::id::SessionId;
use adit_net::rate::{Pace, Rate, TooOften};
use adit_wire::capability::Capability;
use adit_wire::control::Frame;
use adit_wire::preface::Status;
use tokio::time::{Instant, timeout};

use crate::limits::{CLAIM_DEADLINE, REFRESHES_BURST, REFRESHES_INTERVAL, RETRY_AFTER};
use crate::node::{Node, millis};
use crate::registry::Commands;
use crate::share::TenantShare;

/// The right of one session to go on.
pub(super) struct Standing {
    session: SessionId,
    commands: Commands,
    pub(super) capability: Capability,
    /// When the capability ends. Fixed when it is taken in: a wall clock that jumps later ends no session.
    pub(super) expires: Instant,
    /// What the tenant may use on this node.
    pub(super) share: Arc<TenantShare>,
    refreshes: Pace,
}

impl Standing {
    pub(super) fn new(
        node: &Node,
        session: SessionId,
        commands: Commands,
        (capability, share): (Capability, Arc<TenantShare>),
    ) -> Self {
        let refreshes = Pace::new(Rate { burst: REFRESHES_BURST, interval: REFRESHES_INTERVAL });
        Self { session, commands, expires: expiry(node, &capability), capability, share, refreshes }
    }

    /// Asks for a new capability, and returns what the agent is told.
    pub(super) async fn refresh(&mut self, node: &Node, request: u32) -> Frame {
        if let Err(TooOften(wait)) = self.refreshes.take(std::time::Instant::now()) {
            let (status, retry_after_ms) = (Status::RateLimited, millis(wait));
            return Frame::RefreshRefused { request, status, retry_after_ms };
        }
        let refused = |status| Frame::RefreshRefused { request, status, retry_after_ms: millis(RETRY_AFTER) };
        match timeout(CLAIM_DEADLINE, node.admission.refresh(&self.capability)).await {
            Ok(Ok(capability)) => {
                if let Ok(renewed) = node.trust.verify(&capability, node.now()) {
                    self.renew(node, renewed);
                }
                Frame::Refreshed { request, capability }
            }
            Ok(Err(RefreshError::Revoked)) => refused(Status::CapabilityRevoked),
            // The agent asks again; its capability is still good for a long time.
            Ok(Err(RefreshError::Unavailable(_))) | Err(_) => refused(Status::Overloaded),
        }
    }

    fn renew(&mut self, node: &Node, renewed: Capability) {
        node.agents.renew(self.session, renewed.id);
        // Entered first, checked after, as at the start.
        if node.trust.is_revoked(&renewed) {
            self.commands.revoke();
        }
        self.share.hold_to(&renewed);
        self.expires = expiry(node, &renewed);
        self.capability = renewed;
    }
}

/// When a capability ends, as far as anyone knows now.
fn expiry(node: &Node, capability: &Capability) -> Instant {
    Instant::now() + capability.expires_at.since(node.now())
}
