//! What a tenant may use of this node, and what of it is in use: places, of which there are so many, and paces.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use adit_domain::id::TenantId;
use adit_domain::{PlanLimits, Timestamp};
use adit_mux::{Budget, Grant};
use adit_wire::capability::Capability;
use thiserror::Error;

use crate::arrivals::Arrivals;
use crate::limits::{
    CONNECTIONS_PER_TENANT_MAX, CONNECTIONS_REFUSED_PER_TENANT_MAX, DATAGRAM_BYTES_PER_TENANT_MAX,
    EXCHANGE_BYTES_MIN, FLOWS_PER_ENDPOINT_MAX, FLOWS_PER_TENANT_MAX, HELD_PER_TENANT_MAX, IDLE_MAX,
    REFUSALS_PER_ARRIVAL, REQUESTS_PER_ENDPOINT_MAX, REQUESTS_PER_TENANT_MAX,
};
use crate::places::{NoPlace, Place, Places};

/// What the endpoints of one tenant share on this node.
#[derive(Debug)]
pub(crate) struct TenantShare {
    id: TenantId,
    /// When the capability was issued that brought the limits.
    as_of: Mutex<Option<Timestamp>>,
    sessions: Arc<Places>,
    endpoints: Arc<Places>,
    connections: Arc<Places>,
    /// Connections that are only told that there is no place.
    refused: Arc<Places>,
    requests: Arc<Places>,
    /// Requests that wait for an agent or its upstream.
    held: Arc<Places>,
    new_connections: Arrivals,
    new_requests: Arrivals,
    /// Requests that are refused and leave their connection open.
    refusals: Arrivals,
    idle_ms: AtomicU64,
    flows: Arc<Places>,
    datagram_bytes: Arc<Places>,
    streams: Budget,
}

/// What one endpoint may use, beside what its tenant may.
#[derive(Debug)]
pub(crate) struct EndpointShare {
    tenant: Arc<TenantShare>,
    requests: Arc<Places>,
    flows: Arc<Places>,
}

/// A request's places. It keeps them until its response has ended.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    _endpoint: Place,
    _tenant: Place,
    _memory: Option<Grant>,
}

impl RequestPlace {
    /// With memory for what it may hold besides its stream.
    pub(crate) fn holding(self, memory: Grant) -> Self {
        Self { _memory: Some(memory), ..self }
    }
}

/// Why a request or a connection may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    /// As many are in use as may be.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// More arrive than may.
    #[error("more arrive in a second than may")]
    TooOften,
}

/// A connection of a visitor that may come in.
#[derive(Debug)]
pub(crate) enum Entry {
    /// To be served.
    Served(Seat),
    /// To be told that its tenant has as many as it may.
    Told(#[expect(dead_code, reason = "given back when the connection ends")] Seat),
}

/// A connection's place. It keeps the share too: when the tenant's agents leave and come back, its visitors still count.
#[derive(Debug)]
pub(crate) struct Seat {
    _place: Place,
    _share: Arc<TenantShare>,
}

impl TenantShare {
    fn new(id: TenantId, streams: Budget) -> Self {
        let none = || Places::new(0);
        Self {
            id,
            as_of: Mutex::new(None),
            sessions: none(),
            endpoints: none(),
            connections: none(),
            refused: Places::new(CONNECTIONS_REFUSED_PER_TENANT_MAX),
            requests: none(),
            held: Places::new(HELD_PER_TENANT_MAX),
            new_connections: Arrivals::new(),
            new_requests: Arrivals::new(),
            refusals: Arrivals::new(),
            flows: Places::new(FLOWS_PER_TENANT_MAX),
            datagram_bytes: Places::new(DATAGRAM_BYTES_PER_TENANT_MAX),
            idle_ms: AtomicU64::new(0),
            streams,
        }
    }

    /// Takes the limits of a capability, unless those of a later one are in force. What is in use beyond them stays so.
    pub(crate) fn hold_to(&self, capability: &Capability) {
        let mut as_of = self.as_of.lock().unwrap_or_else(PoisonError::into_inner);
        if as_of.is_some_and(|as_of| as_of > capability.issued_at) {
            return;
        }
        *as_of = Some(capability.issued_at);
        let PlanLimits {
            sessions_max,
            endpoints_max,
            requests_max,
            connections_max,
            arrivals_per_s_max,
            idle_s_max: _,
        } = capability.limits;
        self.sessions.hold_to(sessions_max.into());
        self.endpoints.hold_to(endpoints_max.into());
        self.connections.hold_to(CONNECTIONS_PER_TENANT_MAX.min(connections_max.into()));
        self.flows.hold_to(FLOWS_PER_TENANT_MAX.min(connections_max.into()));
        self.requests.hold_to(REQUESTS_PER_TENANT_MAX.min(requests_max.into()));
        for flow in [&self.new_connections, &self.new_requests] {
            flow.hold_to(arrivals_per_s_max.into());
        }
        self.refusals.hold_to(u64::from(arrivals_per_s_max).saturating_mul(REFUSALS_PER_ARRIVAL));
        let idle_ms = u64::try_from(capability.limits.idle_max().as_millis()).unwrap_or(u64::MAX);
        self.idle_ms.store(idle_ms, Ordering::Relaxed);
    }

    /// Memory for the streams of all the tenant's sessions.
    pub(crate) fn streams(&self) -> Budget {
        self.streams.clone()
    }

    /// Places for requests that wait for an agent or its upstream.
    pub(crate) fn held(&self) -> &Arc<Places> {
        &self.held
    }

    /// A place for one more agent session.
    ///
    /// # Errors
    /// [`NoPlace`] when the tenant has as many as it may.
    pub(crate) fn session(&self) -> Result<Place, NoPlace> {
        self.sessions.take()
    }

    /// How many endpoints may be served.
    pub(crate) fn endpoints_max(&self) -> usize {
        self.endpoints.max()
    }
}

impl EndpointShare {
    /// An endpoint of a tenant.
    pub(crate) fn new(tenant: Arc<TenantShare>) -> Arc<Self> {
        let (requests, flows) = (Places::new(REQUESTS_PER_ENDPOINT_MAX), Places::new(FLOWS_PER_ENDPOINT_MAX));
        Arc::new(Self { tenant, requests, flows })
    }

    /// Whose it is.
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant.id
    }

    /// A place for the endpoint among those of its tenant that are served.
    ///
    /// # Errors
    /// [`NoPlace`] when the tenant has as many as it may.
    pub(crate) fn endpoint(&self) -> Result<Place, NoPlace> {
        self.tenant.endpoints.take()
    }

    /// Lets one more request in. What it may hold besides its stream is for [`EndpointShare::memory`] to grant.
    ///
    /// # Errors
    /// When the endpoint or its tenant has as many in flight as it may, or too many arrive.
    pub(crate) fn request(&self, now: Instant) -> Result<RequestPlace, Refused> {
        if !self.tenant.new_requests.take(now) {
            return Err(Refused::TooOften);
        }
        Ok(RequestPlace {
            _endpoint: self.requests.take()?,
            _tenant: self.tenant.requests.take()?,
            _memory: None,
        })
    }

    /// Memory for what is held besides a stream.
    ///
    /// # Errors
    /// [`NoPlace`] when the tenant's streams hold as much as they may.
    pub(crate) fn memory(&self, bytes: usize) -> Result<Grant, NoPlace> {
        self.tenant.streams.admit(bytes).ok_or(NoPlace)
    }

    /// Whether a request that was refused may leave its connection open: [`REFUSALS_PER_ARRIVAL`] times as many as may be
    /// served in a second. Who asks still faster has to connect anew each time, and connections have a pace too.
    pub(crate) fn may_ask_again(&self, now: Instant) -> bool {
        self.tenant.refusals.take(now)
    }

    /// Lets one more connection of a visitor in.
    ///
    /// # Errors
    /// When too many arrive, or when neither a place to be served is left nor one to be told so.
    pub(crate) fn connection(&self, now: Instant) -> Result<Entry, Refused> {
        if !self.tenant.new_connections.take(now) {
            return Err(Refused::TooOften);
        }
        let seat = |place| Seat { _place: place, _share: Arc::clone(&self.tenant) };
        match self.tenant.connections.take() {
            Ok(place) => Ok(Entry::Served(seat(place))),
            Err(NoPlace) => Ok(Entry::Told(seat(self.tenant.refused.take()?))),
        }
    }

    /// How long there may be silence where silence is not yet an error.
    pub(crate) fn idle_max(&self) -> Duration {
        Duration::from_millis(self.tenant.idle_ms.load(Ordering::Relaxed)).min(IDLE_MAX)
    }

    /// Lets one more flow of datagrams in.
    ///
    /// # Errors
    /// [`NoPlace`] when the endpoint or its tenant has as many as it may.
    pub(crate) fn flow(&self) -> Result<[Place; 2], NoPlace> {
        Ok([self.flows.take()?, self.tenant.flows.take()?])
    }

    /// Memory for datagrams that wait for agents, of all the tenant's flows.
    pub(crate) fn datagram_bytes(&self) -> &Arc<Places> {
        &self.tenant.datagram_bytes
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

    /// Whether the node has no memory for one more exchange, not even of a tenant that has none.
    pub(crate) fn are_used_up(&self) -> bool {
        !self.streams.fits(EXCHANGE_BYTES_MIN)
    }

    /// The share of a capability's tenant, held to its limits: the same share for as long as anybody uses it.
    pub(crate) fn of(&self, capability: &Capability) -> Arc<TenantShare> {
        let share = self.of_tenant(capability.tenant);
        share.hold_to(capability);
        share
    }

    fn of_tenant(&self, tenant: TenantId) -> Arc<TenantShare> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        // Asked for at each session, so the map holds those that are here, and those that left since the last new one.
        tenants.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(TenantShare::new(tenant, self.streams.fair_part()));
        tenants.insert(tenant, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests;
