//! What a session stands on: its capability, and for how long.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use adit_authority::RefreshError;
use adit_domain::id::SessionId;
use adit_net::rate::{Pace, Rate, TooOften};
use adit_wire::capability::{Capability, SignedCapability};
use adit_wire::control::Frame;
use adit_wire::preface::Status;
use futures::future::{MaybeDone, maybe_done};
use tokio::time::error::Elapsed;
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
    /// The refresh that waits for the control plane, and which one it is for the agent.
    refreshing: Option<(u32, Pin<Box<MaybeDone<Asked>>>)>,
}

/// What the control plane says, or that it said nothing in time.
type Asked = Pin<Box<dyn Future<Output = Result<Result<SignedCapability, RefreshError>, Elapsed>> + Send>>;

impl Standing {
    pub(super) fn new(
        node: &Node,
        session: SessionId,
        commands: Commands,
        (capability, share): (Capability, Arc<TenantShare>),
    ) -> Self {
        let refreshes = Pace::new(Rate { burst: REFRESHES_BURST, interval: REFRESHES_INTERVAL });
        let expires = expiry(node, &capability);
        Self { session, commands, capability, expires, share, refreshes, refreshing: None }
    }

    /// Asks for a new capability. What comes of it is for [`Standing::refreshed`] to say: a control plane that is slow keeps
    /// nothing else of the session waiting. Returns what the agent is told that asks too often, or has not been answered yet.
    pub(super) fn refresh(&mut self, node: &Arc<Node>, request: u32) -> Option<Frame> {
        let refused = |wait| {
            let (status, retry_after_ms) = (Status::RateLimited, millis(wait));
            Frame::RefreshRefused { request, status, retry_after_ms }
        };
        if self.refreshing.is_some() {
            return Some(refused(RETRY_AFTER));
        }
        if let Err(TooOften(wait)) = self.refreshes.take(std::time::Instant::now()) {
            return Some(refused(wait));
        }
        let (node, capability) = (Arc::clone(node), self.capability.clone());
        let asked = async move { timeout(CLAIM_DEADLINE, node.admission.refresh(&capability)).await };
        self.refreshing = Some((request, Box::pin(maybe_done(Box::pin(asked)))));
        None
    }

    /// What the agent is told that has asked; waits for ever while none has.
    pub(super) async fn refreshed(&mut self, node: &Node) -> Frame {
        let Some((request, asked)) = &mut self.refreshing else { return pending().await };
        let request = *request;
        asked.as_mut().await;
        let answer = asked.as_mut().take_output();
        self.refreshing = None;
        let refused = |status| Frame::RefreshRefused { request, status, retry_after_ms: millis(RETRY_AFTER) };
        match answer {
            Some(Ok(Ok(capability))) => {
                if let Ok(renewed) = node.trust.verify(&capability, node.now()) {
                    self.renew(node, renewed);
                }
                Frame::Refreshed { request, capability }
            }
            Some(Ok(Err(RefreshError::Revoked))) => refused(Status::CapabilityRevoked),
            // The agent asks again; its capability is still good for a long time.
            Some(Ok(Err(RefreshError::Unavailable(_))) | Err(_)) | None => refused(Status::Overloaded),
        }
    }

    /// Lets what was asked go on, without an end. The answer waits for [`Standing::refreshed`].
    pub(super) async fn advance(&mut self) -> Infallible {
        if let Some((_, asked)) = &mut self.refreshing {
            asked.as_mut().await;
        }
        pending().await
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
