#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_domain::id::TenantId;
use adit_domain::{Plan, PlanLimits};
use adit_mux::Budget;
use adit_mux::limits::STREAMS_MAX;
use adit_wire::capability::Capability;

use super::{EndpointShare, Entry, Refused, Shares};
use crate::limits::{
    CONNECTIONS_PER_TENANT_MAX, CONNECTIONS_REFUSED_PER_TENANT_MAX, DATAGRAM_BYTES_PER_TENANT_MAX,
    EXCHANGE_BYTES_MIN, IDLE_MAX, REFUSALS_PER_ARRIVAL, REQUESTS_PER_ENDPOINT_MAX, REQUESTS_PER_TENANT_MAX,
    STREAM_BYTES_MAX,
};
use crate::places::NoPlace;
use crate::stub::capability;

/// More than any node allows.
const WIDEST: PlanLimits = PlanLimits {
    sessions_max: u16::MAX,
    endpoints_max: u16::MAX,
    requests_max: u16::MAX,
    connections_max: u16::MAX,
    arrivals_per_s_max: u16::MAX,
    idle_s_max: u16::MAX,
};

fn shares() -> Shares {
    Shares::new(Budget::new(STREAM_BYTES_MAX))
}

#[test]
fn the_streams_of_a_tenant_fit_its_requests_and_not_those_of_the_node() {
    let bytes = shares().of(&with(WIDEST)).streams().total_bytes();
    assert!(bytes <= STREAM_BYTES_MAX / 2);
    assert!(bytes >= REQUESTS_PER_TENANT_MAX * EXCHANGE_BYTES_MIN);
    const { assert!(REQUESTS_PER_TENANT_MAX > REQUESTS_PER_ENDPOINT_MAX) }
    const { assert!(REQUESTS_PER_ENDPOINT_MAX > STREAMS_MAX) }
}

#[test]
fn what_http_may_hold_comes_out_of_the_memory_for_streams() {
    for (bytes, fits) in [(499, true), (500, true), (501, false)] {
        let shares = Shares::new(Budget::new(1_000));
        let endpoint = EndpointShare::new(shares.of(&with(WIDEST)));
        let (now, streams) = (Instant::now(), endpoint.tenant.streams());
        let place = endpoint.request(now).unwrap();
        let place = endpoint.memory(bytes).map(|memory| place.holding(memory));
        assert_eq!(place.is_ok(), fits, "{bytes}");
        assert!(endpoint.memory(bytes).is_err(), "{bytes}");
        assert_eq!(streams.used_bytes(), if fits { bytes } else { 0 });
        drop(place);
        assert_eq!((streams.used_bytes(), endpoint.memory(bytes).is_ok()), (0, fits));
    }
}

fn with(limits: PlanLimits) -> Capability {
    capability(TenantId::new(), limits)
}

/// An endpoint of a tenant of its own.
fn endpoint(limits: PlanLimits) -> Arc<EndpointShare> {
    EndpointShare::new(shares().of(&with(limits)))
}

/// Connections that are let in: those to be served, those to be told, and those that are neither.
fn connections(endpoint: &EndpointShare, tries: usize) -> (Vec<Entry>, [usize; 3]) {
    let (mut held, mut counts) = (Vec::new(), [0; 3]);
    for _ in 0..tries {
        let entry = endpoint.connection(Instant::now());
        let which = match &entry {
            Ok(Entry::Served(_)) => 0,
            Ok(Entry::Told(_)) => 1,
            Err(_) => 2,
        };
        counts[which] += 1;
        held.extend(entry);
    }
    (held, counts)
}

#[test]
fn an_endpoint_has_so_many_requests() {
    let (endpoint, now) = (endpoint(WIDEST), Instant::now());
    let mut held: Vec<_> =
        (0..REQUESTS_PER_ENDPOINT_MAX - 1).map(|_| endpoint.request(now).unwrap()).collect();
    held.push(endpoint.request(now).unwrap());
    assert_eq!(endpoint.request(now).unwrap_err(), Refused::NoPlace(NoPlace));
    held.pop();
    assert!(endpoint.request(now).is_ok());
}

#[test]
fn a_tenant_has_so_many_over_all_its_endpoints_and_others_do_not_notice() {
    let (shares, of_tenant) = (shares(), with(WIDEST));
    let endpoints: Vec<_> = (0..4).map(|_| EndpointShare::new(shares.of(&of_tenant))).collect();
    let one = |n: usize| endpoints.get(n % endpoints.len()).unwrap();
    let now = Instant::now();
    let requests: Vec<_> = (0..REQUESTS_PER_TENANT_MAX).map(|n| one(n).request(now).unwrap()).collect();
    let served: Vec<_> = (0..CONNECTIONS_PER_TENANT_MAX).map(|n| one(n).connection(now).unwrap()).collect();
    for endpoint in &endpoints {
        assert_eq!(endpoint.request(now).unwrap_err(), Refused::NoPlace(NoPlace));
        assert!(matches!(endpoint.connection(now), Ok(Entry::Told(_))));
    }
    let neighbour = EndpointShare::new(shares.of(&with(WIDEST)));
    assert!(neighbour.request(now).is_ok());
    assert!(matches!(neighbour.connection(now), Ok(Entry::Served(_))));
    drop((requests, served));
    assert!(endpoints.iter().all(|endpoint| endpoint.request(now).is_ok()));
    assert!(endpoints.iter().all(|endpoint| matches!(endpoint.connection(now), Ok(Entry::Served(_)))));
}

#[test]
fn a_plan_has_so_many_requests_and_connections() {
    let plan = Plan::Starter.limits();
    for (requests_max, connections_max) in [(0, 0), (1, 2), (plan.requests_max, plan.connections_max)] {
        let limits = PlanLimits { requests_max, connections_max, ..WIDEST };
        let (endpoint, now) = (endpoint(limits), Instant::now());
        let held: Vec<_> = (0..requests_max).map(|_| endpoint.request(now).unwrap()).collect();
        assert_eq!(endpoint.request(now).unwrap_err(), Refused::NoPlace(NoPlace));
        drop(held);
        let (served, told) = (usize::from(connections_max), CONNECTIONS_REFUSED_PER_TENANT_MAX);
        let (held, counts) = connections(&endpoint, served + told + 1);
        assert_eq!(counts, [served, told, 1]);
        drop(held);
        assert_eq!(connections(&endpoint, 1).1[0], usize::from(connections_max > 0));
    }
}

#[test]
fn a_plan_has_so_many_arrivals() {
    let refusals = usize::try_from(REFUSALS_PER_ARRIVAL).unwrap();
    for arrivals_per_s_max in [0, 1, 99, 100] {
        let endpoint = endpoint(PlanLimits { arrivals_per_s_max, ..WIDEST });
        let (now, max) = (Instant::now(), usize::from(arrivals_per_s_max));
        let requests = (0..200).filter(|_| endpoint.request(now).is_ok()).count();
        let connections = (0..200).filter(|_| endpoint.connection(now).is_ok()).count();
        let kept_open = (0..2_000).filter(|_| endpoint.may_ask_again(now)).count();
        assert_eq!([requests, connections, kept_open], [max, max, max * refusals]);
        assert_eq!(endpoint.request(now).unwrap_err(), Refused::TooOften);
    }
}

#[test]
fn a_plan_has_so_many_sessions_and_endpoints() {
    for max in [0, 1, 3] {
        let limits = PlanLimits { sessions_max: max, endpoints_max: max, ..WIDEST };
        let share = shares().of(&with(limits));
        let endpoints: Vec<_> = (0..=max).map(|_| EndpointShare::new(Arc::clone(&share))).collect();
        let places: Vec<_> = endpoints.iter().map(|endpoint| endpoint.endpoint()).collect();
        let sessions: Vec<_> = (0..=max).map(|_| share.session()).collect();
        assert_eq!(places.iter().filter(|place| place.is_ok()).count(), usize::from(max));
        assert_eq!(sessions.iter().filter(|place| place.is_ok()).count(), usize::from(max));
    }
}

#[test]
fn silence_is_bounded_by_the_plan_and_by_the_node() {
    let longest = u16::try_from(IDLE_MAX.as_secs()).unwrap();
    for (idle_s_max, idle_s) in
        [(1, 1), (longest - 1, longest - 1), (longest, longest), (longest + 1, longest), (u16::MAX, longest)]
    {
        let endpoint = endpoint(PlanLimits { idle_s_max, ..WIDEST });
        assert_eq!(endpoint.idle_max(), Duration::from_secs(idle_s.into()));
    }
}

#[test]
fn the_limits_of_the_capability_issued_last_are_in_force() {
    let shares = shares();
    let first = with(PlanLimits { endpoints_max: 10, ..WIDEST });
    let share = shares.of(&first);
    let later = Capability {
        issued_at: first.issued_at.plus(Duration::from_secs(1)),
        limits: PlanLimits { endpoints_max: 3, ..WIDEST },
        ..first.clone()
    };
    assert_eq!(share.endpoints_max(), 10);
    assert!(Arc::ptr_eq(&share, &shares.of(&later)));
    assert_eq!(share.endpoints_max(), 3);
    // An agent that did not hear of it yet shows what it has.
    shares.of(&first);
    assert_eq!(share.endpoints_max(), 3);
    shares.of(&Capability { limits: WIDEST, ..later });
    assert_eq!(share.endpoints_max(), usize::from(u16::MAX));
}

#[test]
fn shares_of_tenants_that_left_are_forgotten() {
    let shares = shares();
    let capability = with(WIDEST);
    let kept = shares.of(&capability);
    assert!(Arc::ptr_eq(&kept, &shares.of(&capability)));
    for _ in 0..10 {
        shares.of(&with(WIDEST));
    }
    assert!(shares.tenants.lock().unwrap().len() <= 2);
}

#[test]
fn datagrams_of_so_many_bytes_wait_for_a_tenant_and_another_does_not_notice() {
    let shares = shares();
    let tenant = shares.of(&with(WIDEST));
    let [one, other] = [(); 2].map(|()| EndpointShare::new(Arc::clone(&tenant)));
    let held = one.datagram_bytes().take_some(DATAGRAM_BYTES_PER_TENANT_MAX - 1).unwrap();
    let last = other.datagram_bytes().take_some(1).unwrap();
    assert_eq!(other.datagram_bytes().take_some(1).map(drop), Err(NoPlace));
    let neighbour = EndpointShare::new(shares.of(&with(WIDEST)));
    assert!(neighbour.datagram_bytes().take_some(DATAGRAM_BYTES_PER_TENANT_MAX).is_ok());
    drop((held, last));
    assert_eq!(one.datagram_bytes().take_some(DATAGRAM_BYTES_PER_TENANT_MAX + 1).map(drop), Err(NoPlace));
}
