//! What an API key was exchanged for, how long it lasts, and which node is next.

use std::sync::Arc;
use std::time::Duration;

use adit_api::capability::NodeAddress;
use adit_wire::capability::SignedCapability;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::limits::CAPABILITY_LEFT_MIN;

/// A capability, and where it can be shown.
#[derive(Clone)]
pub(crate) struct Grant {
    /// The capability.
    pub(crate) capability: SignedCapability,
    /// How long it was valid when it came; a refreshed one is as long.
    pub(crate) lifetime: Duration,
    /// When it ends, on this computer's clock.
    pub(crate) expires: Instant,
    /// The nodes, in order of preference. Never empty.
    pub(crate) nodes: Vec<NodeAddress>,
    /// TLS towards them.
    pub(crate) tls: Arc<ClientConfig>,
}

/// The grant that the agent holds, and what experience says about it.
#[derive(Default)]
pub(crate) struct Grants {
    held: Option<Grant>,
    /// Nodes that failed since the last session or exchange.
    failed: usize,
    /// A node did not accept it; nothing but a new one helps.
    refused: bool,
}

/// What to do before the next try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Use what is held.
    Nothing,
    /// Exchange; if that fails, what is held may still do.
    Wish,
    /// Exchange; nothing else helps.
    Must,
}

impl Grants {
    /// Whether to exchange the API key now.
    pub(crate) fn need(&self, now: Instant) -> Need {
        let Some(grant) = &self.held else { return Need::Must };
        let left = grant.expires.saturating_duration_since(now);
        if self.refused || left.is_zero() {
            return Need::Must;
        }
        // Each node had its turn: perhaps they have moved.
        let all_failed = self.failed >= grant.nodes.len();
        if all_failed || left < CAPABILITY_LEFT_MIN.min(grant.lifetime / 2) {
            Need::Wish
        } else {
            Need::Nothing
        }
    }

    /// Holds what an exchange brought.
    pub(crate) fn put(&mut self, grant: Grant) {
        *self = Self { held: Some(grant), failed: 0, refused: false };
    }

    /// What is held.
    pub(crate) const fn held(&self) -> Option<&Grant> {
        self.held.as_ref()
    }

    /// The node to dial next: in order of preference, and after a failure the one behind.
    pub(crate) fn node(&self) -> Option<(&Grant, &NodeAddress)> {
        let grant = self.held.as_ref()?;
        let at = self.failed.checked_rem(grant.nodes.len())?;
        Some((grant, grant.nodes.get(at)?))
    }

    /// The node did not give a session.
    pub(crate) const fn node_failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// The node gave a session.
    pub(crate) const fn node_succeeded(&mut self) {
        self.failed = 0;
    }

    /// The node did not accept the capability.
    pub(crate) const fn capability_refused(&mut self) {
        self.refused = true;
    }

    /// The node sent a fresh capability in the place of the one that is held.
    pub(crate) fn refreshed(&mut self, capability: SignedCapability, now: Instant) {
        if let Some(grant) = &mut self.held {
            grant.capability = capability;
            grant.expires = now + grant.lifetime;
            self.refused = false;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::time::Duration;

    use adit_api::capability::NodeAddress;
    use adit_net::tls::{Roots, agent_client};
    use adit_wire::capability::SignedCapability;
    use tokio::time::Instant;

    use super::{Grant, Grants, Need};

    const HOUR: Duration = Duration::from_hours(1);

    fn holding(nodes: usize, lifetime: Duration, now: Instant) -> Grants {
        let node = |at| NodeAddress { host: format!("node{at}"), port: 443, sni: "node".to_owned() };
        let mut grants = Grants::default();
        grants.put(Grant {
            capability: SignedCapability::from_bytes([0; 192]),
            lifetime,
            expires: now + lifetime,
            nodes: (0..nodes).map(node).collect(),
            tls: agent_client(&Roots::public(), adit_wire::ALPN).unwrap(),
        });
        grants
    }

    fn next(grants: &Grants) -> &str {
        &grants.node().unwrap().1.host
    }

    #[test]
    fn a_new_one_is_needed_in_the_last_hour() {
        let now = Instant::now();
        assert_eq!(Grants::default().need(now), Need::Must);
        let grants = holding(1, 24 * HOUR, now);
        assert_eq!(grants.need(now), Need::Nothing);
        assert_eq!(grants.need(now + 23 * HOUR), Need::Nothing);
        assert_eq!(grants.need(now + 23 * HOUR + Duration::from_millis(1)), Need::Wish);
        assert_eq!(grants.need(now + 24 * HOUR), Need::Must);
        // A short life is not exchanged at every try.
        let grants = holding(1, HOUR, now);
        assert_eq!(
            (grants.need(now + HOUR / 2), grants.need(now + HOUR * 3 / 4)),
            (Need::Nothing, Need::Wish)
        );
    }

    #[test]
    fn nodes_take_turns_and_may_have_moved_when_all_failed() {
        let now = Instant::now();
        let mut grants = holding(2, 24 * HOUR, now);
        assert_eq!(next(&grants), "node0");
        grants.node_failed();
        assert_eq!((next(&grants), grants.need(now)), ("node1", Need::Nothing));
        grants.node_failed();
        assert_eq!((next(&grants), grants.need(now)), ("node0", Need::Wish));
        grants.node_failed();
        assert_eq!(next(&grants), "node1");
        grants.node_succeeded();
        assert_eq!((next(&grants), grants.need(now)), ("node0", Need::Nothing));
    }

    #[test]
    fn a_refused_one_is_not_shown_again_and_a_fresh_one_is() {
        let now = Instant::now();
        let mut grants = holding(1, 24 * HOUR, now);
        grants.capability_refused();
        assert_eq!(grants.need(now), Need::Must);
        let later = now + 20 * HOUR;
        grants.refreshed(SignedCapability::from_bytes([1; 192]), later);
        assert_eq!(grants.need(later + 22 * HOUR), Need::Nothing);
        assert_eq!(grants.held().unwrap().capability.as_bytes(), &[1; 192]);
    }
}
