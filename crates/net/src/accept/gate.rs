//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network::Network;

/// What a gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections open at once from one IPv4 address or one IPv6 /64, which is what one customer of a provider gets.
    pub per_address_max: u32,
}

/// Counts since the gate was made, and the connections open now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections that were let through.
    pub accepted: u64,
    /// Connections that were refused because their address had too many.
    pub refused: u64,
    /// Accepts that failed.
    pub failed: u64,
    /// Connections open now.
    pub open: usize,
}

/// Shared by the listeners whose connections count together. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    limits: ConnectionLimits,
    places: Arc<Semaphore>,
    trusted: Arc<[Network]>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicU64,
    refused: AtomicU64,
    unintroduced: AtomicU64,
    failed: AtomicU64,
    live: AtomicUsize,
    open: Mutex<HashMap<IpAddr, u32>>,
}

impl Gate {
    /// A gate with nothing open.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
        let (places, trusted) = (Arc::new(Semaphore::new(places)), Arc::default());
        Self { limits, places, trusted, shared: Arc::default() }
    }

    /// Believes load balancers at these addresses whom a connection comes from. They must say so, with the PROXY protocol,
    /// on each connection.
    #[must_use]
    pub fn trusting(self, networks: &[Network]) -> Self {
        Self { trusted: networks.into(), ..self }
    }

    /// What it lets through.
    #[must_use]
    pub const fn limits(&self) -> ConnectionLimits {
        self.limits
    }

    /// What went through so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            accepted: count(&self.shared.accepted),
            refused: count(&self.shared.refused),
            failed: count(&self.shared.failed),
            open: self.shared.live.load(Ordering::Relaxed),
        }
    }

    /// A place for one connection, as soon as there is one.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            // It fails only when the semaphore is closed, and nothing closes it.
            if let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
                return place;
            }
            std::future::pending::<()>().await;
        }
    }

    /// Whether a load balancer that is believed is at this address.
    pub(super) fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }

    /// The permit for a connection of a load balancer's own.
    pub(super) fn admit_front(&self, place: OwnedSemaphorePermit) -> ConnectionPermit {
        self.permit(None, place)
    }

    /// How many connections of trusted load balancers did not say whom they come from, this one included.
    pub(super) fn count_unintroduced(&self) -> u64 {
        self.shared.unintroduced.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The permit for a connection from `ip`, unless that address has its share already.
    pub(super) fn admit(&self, ip: IpAddr, place: OwnedSemaphorePermit) -> Option<ConnectionPermit> {
        let address = counted_as(ip);
        let mut open = self.shared.open();
        let count = open.entry(address).or_insert(0);
        if *count >= self.limits.per_address_max {
            // An entry of zero exists only where the limit is zero.
            forget_if_none(&mut open, address);
            drop(open);
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count = count.saturating_add(1);
        drop(open);
        Some(self.permit(Some(address), place))
    }

    fn permit(&self, address: Option<IpAddr>, place: OwnedSemaphorePermit) -> ConnectionPermit {
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        self.shared.live.fetch_add(1, Ordering::Relaxed);
        ConnectionPermit { address, shared: Arc::clone(&self.shared), _place: place }
    }

    pub(super) fn count_failure(&self) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    // Nothing panics while it holds this lock, so a poisoned one is as good as new.
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place. Dropping it gives the place back.
#[derive(Debug)]
pub struct ConnectionPermit {
    /// Under which it counts, if it does.
    address: Option<IpAddr>,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.shared.live.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut open = self.shared.open();
        if let Some(count) = open.get_mut(&address) {
            *count = count.saturating_sub(1);
        }
        forget_if_none(&mut open, address);
    }
}

/// The map holds only addresses with open connections, and gives memory back after a flood.
fn forget_if_none(open: &mut HashMap<IpAddr, u32>, address: IpAddr) {
    if open.get(&address).is_some_and(|count| *count == 0) {
        open.remove(&address);
    }
    let mostly_empty = open.len() < open.capacity() / 8;
    if mostly_empty && open.capacity() > SMALL_MAP {
        open.shrink_to(open.len().saturating_mul(2).max(SMALL_MAP / 2));
    }
}

/// A map of this many entries is not worth shrinking.
const SMALL_MAP: usize = 256;

/// An IPv4 address counts by itself, an IPv6 address with its /64: what one customer of a provider gets.
#[must_use]
pub fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::{IpAddr, Ipv4Addr};

    use super::{ConnectionLimits, Counts, Gate, SMALL_MAP, counted_as};

    fn gate(connections_max: usize, per_address_max: u32) -> Gate {
        Gate::new(ConnectionLimits { connections_max, per_address_max })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn one_address_gets_its_share_and_no_more() {
        let gate = gate(100, 3);
        let mut held = Vec::new();
        for expected in [true, true, true, false] {
            let permit = gate.admit(ip("192.0.2.1"), gate.place().await);
            assert_eq!(permit.is_some(), expected);
            held.extend(permit);
        }
        assert!(gate.admit(ip("192.0.2.2"), gate.place().await).is_some());

        held.pop();
        assert!(gate.admit(ip("192.0.2.1"), gate.place().await).is_some());
        assert_eq!(gate.counts(), Counts { accepted: 5, refused: 1, failed: 0, open: 2 });
    }

    #[tokio::test]
    async fn all_addresses_share_the_places() {
        let gate = gate(2, 10);
        let first = gate.admit(ip("192.0.2.1"), gate.place().await).unwrap();
        let _second = gate.admit(ip("192.0.2.2"), gate.place().await).unwrap();
        assert_eq!(gate.places.available_permits(), 0);
        drop(first);
        assert_eq!(gate.places.available_permits(), 1);
    }

    #[tokio::test]
    async fn the_map_forgets_and_shrinks() {
        let gate = gate(10_000, 1);
        let mut held = Vec::new();
        for at in 0..4096_u32 {
            held.push(gate.admit(IpAddr::V4(Ipv4Addr::from(at)), gate.place().await).unwrap());
        }
        assert!(gate.shared.open().capacity() >= 4096);
        held.clear();
        assert!(gate.shared.open().is_empty());
        assert!(gate.shared.open().capacity() <= SMALL_MAP);
        assert_eq!(gate.counts().open, 0);
    }

    #[tokio::test]
    async fn a_limit_of_none_lets_nobody_in_and_keeps_nothing() {
        let gate = gate(10, 0);
        assert!(gate.admit(ip("192.0.2.1"), gate.place().await).is_none());
        assert!(gate.shared.open().is_empty());
    }

    #[test]
    fn ipv6_counts_by_64_bits_and_mapped_ipv4_as_ipv4() {
        assert_eq!(counted_as(ip("2001:db8:1:2:3:4:5:6")), counted_as(ip("2001:db8:1:2:ffff::1")));
        assert_ne!(counted_as(ip("2001:db8:1:2::1")), counted_as(ip("2001:db8:1:3::1")));
        assert_eq!(counted_as(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
