//! Who may begin a flow of datagrams. A visitor's address costs nothing to forge, so nothing here depends on it alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use adit_net::accept::counted_as;
use adit_net::rate::{Paces, Rate, TooOften};
use thiserror::Error;

use crate::limits::{
    DATAGRAM_BYTES_MAX, FLOWS_MAX, FLOWS_PER_ADDRESS_MAX, NEW_FLOWS_ADDRESSES_MAX, NEW_FLOWS_BURST,
    NEW_FLOWS_INTERVAL,
};
use crate::places::{NoPlace, Place, Places};
use crate::share::EndpointShare;

/// What all flows of a node share.
#[derive(Debug)]
pub(crate) struct Flows {
    places: Arc<Places>,
    addresses: Arc<Addresses>,
    paces: Paces<IpAddr>,
    datagram_bytes: Arc<Places>,
}

/// A flow's places. It keeps them until it ends.
#[derive(Debug)]
pub(crate) struct FlowPlace {
    _places: [Place; 3],
    _address: AddressPlace,
}

/// Why a flow may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NoFlow {
    /// The endpoint, its tenant, the node or the visitor's address has as many as it may.
    #[error("as many flows as may be")]
    TooMany,
    /// The visitor's address begins too many in a short time.
    #[error("too many new flows")]
    TooOften,
}

/// How many flows each source address has. It holds only addresses with flows.
#[derive(Debug, Default)]
struct Addresses {
    open: Mutex<HashMap<IpAddr, u32>>,
}

#[derive(Debug)]
struct AddressPlace {
    address: IpAddr,
    addresses: Arc<Addresses>,
}

impl Flows {
    /// None yet.
    pub(crate) fn new() -> Self {
        let new = Rate { burst: NEW_FLOWS_BURST, interval: NEW_FLOWS_INTERVAL };
        Self {
            places: Places::new(FLOWS_MAX),
            addresses: Arc::default(),
            paces: Paces::new(new, NEW_FLOWS_ADDRESSES_MAX),
            datagram_bytes: Places::new(DATAGRAM_BYTES_MAX),
        }
    }

    /// Lets one more flow begin. The places come first: in a flood of forged addresses they are what is used up, and saying
    /// no has to be cheap then.
    ///
    /// # Errors
    /// See [`NoFlow`].
    pub(crate) fn begin(
        &self,
        share: &EndpointShare,
        visitor: IpAddr,
        now: Instant,
    ) -> Result<FlowPlace, NoFlow> {
        let full = |NoPlace| NoFlow::TooMany;
        let [endpoint, tenant] = share.flow().map_err(full)?;
        let node = self.places.take().map_err(full)?;
        let address = counted_as(visitor);
        let counted = Addresses::take(&self.addresses, address).map_err(full)?;
        self.paces.take(address, now).map_err(|TooOften(_)| NoFlow::TooOften)?;
        Ok(FlowPlace { _places: [endpoint, tenant, node], _address: counted })
    }

    /// Memory for datagrams that wait for agents.
    pub(crate) fn datagram_bytes(&self) -> &Arc<Places> {
        &self.datagram_bytes
    }
}

impl Addresses {
    fn take(self: &Arc<Self>, address: IpAddr) -> Result<AddressPlace, NoPlace> {
        let mut open = self.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= FLOWS_PER_ADDRESS_MAX {
            return Err(NoPlace);
        }
        *count = count.saturating_add(1);
        Ok(AddressPlace { address, addresses: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use adit_domain::PlanLimits;
    use adit_domain::id::TenantId;
    use adit_wire::capability::Capability;

    use super::{FlowPlace, Flows, NoFlow};
    use crate::limits::{
        DATAGRAM_BYTES_MAX, FLOWS_MAX, FLOWS_PER_ADDRESS_MAX, FLOWS_PER_ENDPOINT_MAX, FLOWS_PER_TENANT_MAX,
        NEW_FLOWS_ADDRESSES_MAX, NEW_FLOWS_BURST, NEW_FLOWS_INTERVAL,
    };
    use crate::places::NoPlace;
    use crate::share::{EndpointShare, Shares};
    use crate::stub::capability;

    /// A tenant whose plan is wider than what any node allows.
    fn anybody() -> Capability {
        let limits = PlanLimits {
            sessions_max: u16::MAX,
            endpoints_max: u16::MAX,
            requests_max: u16::MAX,
            connections_max: u16::MAX,
            arrivals_per_s_max: u16::MAX,
            idle_s_max: u16::MAX,
        };
        capability(TenantId::new(), limits)
    }

    fn shares() -> Shares {
        Shares::new(adit_mux::Budget::new(1 << 30))
    }

    fn visitor(number: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap()))
    }

    /// As many as are let in, of visitors from everywhere, at most one more than `max`.
    fn fill(flows: &Flows, shares: &[Arc<EndpointShare>], max: usize) -> Vec<FlowPlace> {
        let begin = |n: usize| flows.begin(&shares[n % shares.len()], visitor(n), Instant::now());
        let held: Vec<_> = (0..=max).map_while(|n| begin(n).ok()).collect();
        assert_eq!(begin(max).is_err(), held.len() == max);
        held
    }

    #[test]
    fn an_endpoint_has_so_many_and_another_does_not_notice() {
        let (flows, shares) = (Flows::new(), shares());
        let tenant = shares.of(&anybody());
        let [full, other] = [(); 2].map(|()| EndpointShare::new(Arc::clone(&tenant)));
        let mut held = fill(&flows, &[Arc::clone(&full)], FLOWS_PER_ENDPOINT_MAX);
        assert_eq!(held.len(), FLOWS_PER_ENDPOINT_MAX);
        assert!(flows.begin(&other, visitor(0), Instant::now()).is_ok());
        held.pop();
        assert!(flows.begin(&full, visitor(0), Instant::now()).is_ok());
    }

    #[test]
    fn a_tenant_has_so_many_and_another_does_not_notice() {
        let (flows, shares) = (Flows::new(), shares());
        let tenant = shares.of(&anybody());
        let endpoints = [(); 4].map(|()| EndpointShare::new(Arc::clone(&tenant)));
        let held = fill(&flows, &endpoints, FLOWS_PER_TENANT_MAX);
        assert_eq!(held.len(), FLOWS_PER_TENANT_MAX);
        let neighbour = EndpointShare::new(shares.of(&anybody()));
        assert!(flows.begin(&neighbour, visitor(0), Instant::now()).is_ok());
    }

    #[test]
    fn a_node_has_so_many() {
        let (flows, shares) = (Flows::new(), shares());
        let endpoints = [(); 5].map(|()| EndpointShare::new(shares.of(&anybody())));
        assert_eq!(fill(&flows, &endpoints, FLOWS_MAX).len(), FLOWS_MAX);
    }

    #[test]
    fn an_address_has_so_many_and_its_neighbours_in_ipv6_count_with_it() {
        let flows = Flows::new();
        let share = EndpointShare::new(shares().of(&anybody()));
        let network = |host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host));
        let begin = |host: u16| flows.begin(&share, network(host), Instant::now());
        let most = u16::try_from(FLOWS_PER_ADDRESS_MAX).unwrap();
        let mut held: Vec<_> = (0..most).map(|host| begin(host).unwrap()).collect();
        assert_eq!(begin(most).unwrap_err(), NoFlow::TooMany);
        assert!(flows.begin(&share, visitor(1), Instant::now()).is_ok());
        held.pop();
        assert_eq!(begin(most).unwrap_err(), NoFlow::TooOften, "the place is free, but it was a burst");
        held.clear();
        assert!(flows.addresses.lock().is_empty());
    }

    #[test]
    fn an_address_begins_so_many_in_a_short_time() {
        let flows = Flows::new();
        let share = EndpointShare::new(shares().of(&anybody()));
        let now = Instant::now();
        let begin = |at: Instant| flows.begin(&share, visitor(1), at);
        for n in 0..NEW_FLOWS_BURST {
            assert!(begin(now).is_ok(), "{n}");
        }
        assert_eq!(begin(now).unwrap_err(), NoFlow::TooOften);
        assert!(begin(now + NEW_FLOWS_INTERVAL).is_ok());
        assert_eq!(begin(now + NEW_FLOWS_INTERVAL).unwrap_err(), NoFlow::TooOften);
        assert!(begin(now + Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn new_flows_of_so_many_addresses_are_counted() {
        const MAX: usize = NEW_FLOWS_ADDRESSES_MAX;
        for (addresses, is_counted) in [(MAX - 1, true), (MAX, true), (MAX + 1, false)] {
            let (flows, now) = (Flows::new(), Instant::now());
            let share = EndpointShare::new(shares().of(&anybody()));
            for n in 1..addresses {
                assert!(flows.begin(&share, visitor(n), now).is_ok(), "{n}");
            }
            for n in 0..NEW_FLOWS_BURST {
                assert!(flows.begin(&share, visitor(0), now).is_ok(), "{n}");
            }
            assert_eq!(flows.begin(&share, visitor(0), now).is_err(), is_counted, "{addresses}");
        }
    }

    #[test]
    fn datagrams_of_so_many_bytes_wait_on_a_node() {
        let waiting = Arc::clone(Flows::new().datagram_bytes());
        let held = waiting.take_some(DATAGRAM_BYTES_MAX - 1).unwrap();
        let last = waiting.take_some(1).unwrap();
        assert_eq!(waiting.take_some(1).map(drop), Err(NoPlace));
        drop(last);
        assert_eq!(waiting.take_some(2).map(drop), Err(NoPlace));
        drop(held);
        assert_eq!(waiting.take_some(DATAGRAM_BYTES_MAX).map(drop), Ok(()));
    }
}
