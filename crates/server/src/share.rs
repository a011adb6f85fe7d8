//! Places: how much of something may be in use at once, by an endpoint and by its tenant.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use adit_domain::id::TenantId;
use adit_mux::Budget;
use thiserror::Error;

use crate::limits::{
    CONNECTIONS_PER_TENANT_MAX, REQUESTS_PER_ENDPOINT_MAX, REQUESTS_PER_TENANT_MAX,
    STREAM_BYTES_PER_TENANT_PERCENT,
};

/// As many are taken as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no place is left")]
pub(crate) struct NoPlace;

/// So many places, and how many are taken.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    taken: AtomicUsize,
}

/// One place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Places {
    /// All free.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicUsize::new(0) })
    }

    /// Takes one. One step, so that several at once do not pass the limit together.
    ///
    /// # Errors
    /// [`NoPlace`] when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Place, NoPlace> {
        let one_more = |taken: usize| (taken < self.max).then(|| taken.saturating_add(1));
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(_) => Err(NoPlace),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the endpoints of one tenant share on this node.
#[derive(Debug)]
pub(crate) struct TenantShare {
    connections: Arc<Places>,
    requests: Arc<Places>,
    streams: Budget,
}

impl TenantShare {
    /// Memory for the streams of all the tenant's sessions.
    pub(crate) fn streams(&self) -> Budget {
        self.streams.clone()
    }
}

/// What one endpoint may use, beside what its tenant may.
#[derive(Debug)]
pub(crate) struct EndpointShare {
    tenant: Arc<TenantShare>,
    requests: Arc<Places>,
}

/// A request's places. It keeps them until its response has ended.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    _endpoint: Place,
    _tenant: Place,
}

impl EndpointShare {
    /// An endpoint of a tenant.
    pub(crate) fn new(tenant: Arc<TenantShare>) -> Arc<Self> {
        Arc::new(Self { tenant, requests: Places::new(REQUESTS_PER_ENDPOINT_MAX) })
    }

    /// Lets one more request in.
    ///
    /// # Errors
    /// [`NoPlace`] when the endpoint or its tenant has as many in flight as it may.
    pub(crate) fn request(&self) -> Result<RequestPlace, NoPlace> {
        Ok(RequestPlace { _endpoint: self.requests.take()?, _tenant: self.tenant.requests.take()? })
    }

    /// Lets one more connection of a visitor in.
    ///
    /// # Errors
    /// [`NoPlace`] when the tenant has as many as it may.
    pub(crate) fn connection(&self) -> Result<Place, NoPlace> {
        self.tenant.connections.take()
    }
}

/// The shares of the tenants that are served here. A tenant has one share, however many sessions and endpoints it has.
#[derive(Debug)]
pub(crate) struct Shares {
    tenants: Mutex<HashMap<TenantId, Weak<TenantShare>>>,
    streams: Budget,
}

impl Shares {
    /// Of a node whose streams may hold so much memory.
    pub(crate) fn new(streams: Budget) -> Self {
        Self { tenants: Mutex::default(), streams }
    }

    /// Whether the node has no memory for one more stream, whoever's.
    pub(crate) fn are_used_up(&self) -> bool {
        self.streams.is_used_up()
    }

    /// The share of a tenant, the same one for as long as anybody uses it.
    pub(crate) fn of(&self, tenant: TenantId) -> Arc<TenantShare> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        // Asked for at each session, so the map holds those that are here, and those that left since the last new one.
        tenants.retain(|_, share| share.strong_count() > 0);
        let stream_bytes = self.streams.total_bytes().saturating_mul(STREAM_BYTES_PER_TENANT_PERCENT) / 100;
        let share = Arc::new(TenantShare {
            streams: self.streams.part(stream_bytes),
            connections: Places::new(CONNECTIONS_PER_TENANT_MAX),
            requests: Places::new(REQUESTS_PER_TENANT_MAX),
        });
        tenants.insert(tenant, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;

    use adit_domain::id::TenantId;
    use adit_mux::Budget;
    use adit_mux::limits::{STREAM_BYTES_MAX, STREAM_BYTES_RESERVED, STREAMS_MAX};

    use super::{EndpointShare, NoPlace, Places, Shares};
    use crate::limits::{CONNECTIONS_PER_TENANT_MAX, REQUESTS_PER_ENDPOINT_MAX, REQUESTS_PER_TENANT_MAX};

    fn shares() -> Shares {
        Shares::new(Budget::new(STREAM_BYTES_MAX))
    }

    #[test]
    fn the_streams_of_a_tenant_fit_its_requests_and_not_those_of_the_node() {
        let bytes = shares().of(TenantId::new()).streams().total_bytes();
        assert!(bytes <= STREAM_BYTES_MAX / 4);
        assert!(bytes >= REQUESTS_PER_TENANT_MAX * STREAM_BYTES_RESERVED);
        const { assert!(REQUESTS_PER_TENANT_MAX > REQUESTS_PER_ENDPOINT_MAX) }
        const { assert!(REQUESTS_PER_ENDPOINT_MAX > STREAMS_MAX) }
    }

    #[test]
    fn places_are_taken_and_given_back() {
        let places = Places::new(2);
        let (first, _second) = (places.take().unwrap(), places.take().unwrap());
        assert_eq!(places.take().unwrap_err(), NoPlace);
        drop(first);
        let _third = places.take().unwrap();
        assert_eq!(places.take().unwrap_err(), NoPlace);
    }

    #[test]
    fn many_at_once_do_not_pass_the_limit_together() {
        let places = Places::new(100);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter_map(|_| places.take().ok()).collect::<Vec<_>>()))
                .collect();
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 100);
        drop(taken);
        assert!(places.take().is_ok());
    }

    #[test]
    fn an_endpoint_has_so_many_requests() {
        let endpoint = EndpointShare::new(shares().of(TenantId::new()));
        let mut held: Vec<_> =
            (0..REQUESTS_PER_ENDPOINT_MAX - 1).map(|_| endpoint.request().unwrap()).collect();
        held.push(endpoint.request().unwrap());
        assert_eq!(endpoint.request().unwrap_err(), NoPlace);
        held.pop();
        assert!(endpoint.request().is_ok());
    }

    #[test]
    fn a_tenant_has_so_many_over_all_its_endpoints_and_others_do_not_notice() {
        let (shares, tenant) = (shares(), TenantId::new());
        let endpoints: Vec<_> = (0..4).map(|_| EndpointShare::new(shares.of(tenant))).collect();
        let one = |n: usize| endpoints.get(n % endpoints.len()).unwrap();
        let requests: Vec<_> = (0..REQUESTS_PER_TENANT_MAX).map(|n| one(n).request().unwrap()).collect();
        let connections: Vec<_> =
            (0..CONNECTIONS_PER_TENANT_MAX).map(|n| one(n).connection().unwrap()).collect();
        for endpoint in &endpoints {
            assert_eq!(endpoint.request().unwrap_err(), NoPlace);
            assert_eq!(endpoint.connection().unwrap_err(), NoPlace);
        }
        let neighbour = EndpointShare::new(shares.of(TenantId::new()));
        assert!(neighbour.request().is_ok() && neighbour.connection().is_ok());
        drop((requests, connections));
        assert!(endpoints.iter().all(|endpoint| endpoint.request().is_ok() && endpoint.connection().is_ok()));
    }

    #[test]
    fn shares_of_tenants_that_left_are_forgotten() {
        let shares = shares();
        let tenant = TenantId::new();
        let kept = shares.of(tenant);
        assert!(Arc::ptr_eq(&kept, &shares.of(tenant)));
        for _ in 0..10 {
            shares.of(TenantId::new());
        }
        assert!(shares.tenants.lock().unwrap().len() <= 2);
    }
}
