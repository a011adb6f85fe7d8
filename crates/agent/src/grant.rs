//! What an API key was exchanged for, how long it lasts, and which node is next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_api::capability::NodeAddress;
use adit_wire::capability::SignedCapability;
use rustls::ClientConfig;
use tokio::sync::{Semaphore, SemaphorePermit};
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

/// The grant that the agent holds, and what experience says about it. Shared by all its connections.
pub(crate) struct Grants {
    state: Mutex<State>,
    exchanging: Semaphore,
}

#[derive(Default)]
struct State {
    held: Option<Arc<Grant>>,
    /// A node did not accept it; nothing but a new one helps.
    refused: bool,
}

/// One connection's way through the list of nodes.
pub(crate) struct Rota {
    first: usize,
    /// Nodes that failed since the last session or exchange.
    failed: usize,
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

impl Default for Grants {
    fn default() -> Self {
        Self { state: Mutex::default(), exchanging: Semaphore::new(1) }
    }
}

impl Grants {
    /// Whether to exchange the API key now.
    pub(crate) fn need(&self, now: Instant, rota: &Rota) -> Need {
        let state = self.lock();
        let Some(grant) = &state.held else { return Need::Must };
        let left = grant.expires.saturating_duration_since(now);
        if state.refused || left.is_zero() {
            return Need::Must;
        }
        // Each node had its turn: perhaps they have moved.
        let all_failed = rota.failed >= grant.nodes.len();
        if all_failed || left < CAPABILITY_LEFT_MIN.min(grant.lifetime / 2) {
            Need::Wish
        } else {
            Need::Nothing
        }
    }

    /// Waits until nobody else exchanges, for as long as the returned permit is held.
    pub(crate) async fn exchanging(&self) -> Option<SemaphorePermit<'_>> {
        self.exchanging.acquire().await.ok()
    }

    /// Holds what an exchange brought.
    pub(crate) fn put(&self, grant: Grant) {
        *self.lock() = State { held: Some(Arc::new(grant)), refused: false };
    }

    /// What is held.
    pub(crate) fn held(&self) -> Option<Arc<Grant>> {
        self.lock().held.clone()
    }

    /// A node did not accept the capability of `shown`. If another one is held by now, that may still do.
    pub(crate) fn capability_refused(&self, shown: &Grant) {
        let mut state = self.lock();
        let held = state.held.as_ref().map(|grant| grant.capability.as_bytes());
        state.refused |= held == Some(shown.capability.as_bytes());
    }

    /// A session ended because of its capability, which may be any that was held since it began.
    pub(crate) fn capability_ended(&self) {
        self.lock().refused = true;
    }

    /// The node sent a fresh capability in the place of the one that is held.
    pub(crate) fn refreshed(&self, capability: SignedCapability, now: Instant) {
        let mut state = self.lock();
        if let Some(held) = &state.held {
            let expires = now + held.lifetime;
            state.held = Some(Arc::new(Grant { capability, expires, ..Grant::clone(held) }));
            state.refused = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rota {
    /// Connections start at different nodes, so that they are spread over all of them.
    pub(crate) const fn starting_at(first: usize) -> Self {
        Self { first, failed: 0 }
    }

    /// The node to dial next: in order of preference, and after a failure the one behind.
    pub(crate) fn node<'a>(&self, grant: &'a Grant) -> Option<&'a NodeAddress> {
        let at = self.first.saturating_add(self.failed).checked_rem(grant.nodes.len())?;
        grant.nodes.get(at)
    }

    /// The node did not give a session.
    pub(crate) const fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// The node gave a session, or there is a new list.
    pub(crate) const fn succeeded(&mut self) {
        self.failed = 0;
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

    use super::{Grant, Grants, Need, Rota};
    use crate::limits::CAPABILITY_LEFT_MIN;

    const HOUR: Duration = Duration::from_hours(1);

    fn holding(nodes: usize, lifetime: Duration, now: Instant) -> Grants {
        let node = |at| NodeAddress { host: format!("node{at}"), port: 443, sni: "node".to_owned() };
        let grants = Grants::default();
        grants.put(Grant {
            capability: SignedCapability::from_bytes([0; 192]),
            lifetime,
            expires: now + lifetime,
            nodes: (0..nodes).map(node).collect(),
            tls: agent_client(&Roots::public(), adit_wire::ALPN).unwrap(),
        });
        grants
    }

    fn next(grants: &Grants, rota: &Rota) -> String {
        rota.node(&grants.held().unwrap()).unwrap().host.clone()
    }

    const FRESH: Rota = Rota::starting_at(0);

    #[test]
    fn a_new_one_is_needed_in_the_last_hour() {
        let now = Instant::now();
        assert_eq!(Grants::default().need(now, &FRESH), Need::Must);
        let grants = holding(1, 24 * HOUR, now);
        assert_eq!(grants.need(now, &FRESH), Need::Nothing);
        let last = now + (24 * HOUR).saturating_sub(CAPABILITY_LEFT_MIN);
        assert_eq!(grants.need(last, &FRESH), Need::Nothing);
        assert_eq!(grants.need(last + Duration::from_millis(1), &FRESH), Need::Wish);
        assert_eq!(grants.need(now + 24 * HOUR, &FRESH), Need::Must);
        // A short life is not exchanged at every try.
        let grants = holding(1, HOUR, now);
        assert_eq!(
            (grants.need(now + HOUR / 2, &FRESH), grants.need(now + HOUR * 3 / 4, &FRESH)),
            (Need::Nothing, Need::Wish)
        );
    }

    #[test]
    fn nodes_take_turns_and_may_have_moved_when_all_failed() {
        let now = Instant::now();
        let (grants, mut rota) = (holding(2, 24 * HOUR, now), Rota::starting_at(0));
        assert_eq!(next(&grants, &rota), "node0");
        rota.failed();
        assert_eq!((next(&grants, &rota).as_str(), grants.need(now, &rota)), ("node1", Need::Nothing));
        rota.failed();
        assert_eq!((next(&grants, &rota).as_str(), grants.need(now, &rota)), ("node0", Need::Wish));
        rota.failed();
        assert_eq!(next(&grants, &rota), "node1");
        rota.succeeded();
        assert_eq!((next(&grants, &rota).as_str(), grants.need(now, &rota)), ("node0", Need::Nothing));
    }

    #[test]
    fn connections_are_spread_over_the_nodes() {
        let grants = holding(3, HOUR, Instant::now());
        let nodes: Vec<_> = (0..4).map(|number| next(&grants, &Rota::starting_at(number))).collect();
        assert_eq!(nodes, ["node0", "node1", "node2", "node0"]);
    }

    #[test]
    fn a_refused_one_is_not_shown_again_and_a_fresh_one_is() {
        let now = Instant::now();
        let grants = holding(1, 24 * HOUR, now);
        let shown = grants.held().unwrap();
        grants.capability_refused(&shown);
        assert_eq!(grants.need(now, &FRESH), Need::Must);
        let later = now + 20 * HOUR;
        grants.refreshed(SignedCapability::from_bytes([1; 192]), later);
        assert_eq!(grants.need(later + 22 * HOUR, &FRESH), Need::Nothing);
        assert_eq!(grants.held().unwrap().capability.as_bytes(), &[1; 192]);
        // Another connection that showed the old one says nothing about the new one.
        grants.capability_refused(&shown);
        assert_eq!(grants.need(later, &FRESH), Need::Nothing);
    }
}
