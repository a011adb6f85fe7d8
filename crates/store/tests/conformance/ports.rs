//! Who has which public port, and until when.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use adit_domain::id::{EndpointId, InstanceId, NodeId};
use adit_domain::{EndpointKind, Epoch, PortRange, Timestamp};
use adit_store::limits::PORTS_PER_TENANT_MAX;
use adit_store::{ClaimError, ClaimRequest, ClaimedEndpoint, Name, PortError, PortOffer};
use tokio::task::JoinSet;

use crate::fixture::{DAY, Fixture, NOW, Tenant, bind, hostname, on_both_engines, reserve};

on_both_engines![
    an_endpoint_keeps_its_port,
    a_port_is_somebodys_until_it_was_not_served_for_long,
    a_port_names_its_endpoint,
    a_name_and_a_port_must_belong_together,
    of_many_claims_at_once_each_gets_a_port_of_its_own,
    of_many_claims_for_one_port_one_tenant_wins,
    one_tenant_does_not_get_all_ports,
    a_port_that_was_not_kept_counts_when_it_is_had_again,
    a_range_that_moved_moves_its_endpoints,
    a_port_that_was_left_is_had_again_by_its_number,
    ports_that_were_left_count_if_anybody_could_get_them,
    a_port_is_kept_by_who_holds_it,
];

const KEPT: Duration = Duration::from_hours(24 * 30);

/// A claim of a tcp endpoint at a time.
struct Ask {
    name: String,
    range: &'static str,
    wish: Option<u16>,
    at: Timestamp,
}

impl Ask {
    /// For the endpoint `name`; with an empty name, for the one on the port that is wished.
    fn new(name: &str, range: &'static str) -> Self {
        Self { name: name.to_owned(), range, wish: None, at: NOW }
    }

    fn wish(self, port: u16) -> Self {
        Self { wish: Some(port), ..self }
    }

    fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    async fn claim(self, fixture: &Fixture, tenant: Tenant) -> Result<ClaimedEndpoint, ClaimError> {
        let range: PortRange = self.range.parse().unwrap();
        let wish = self.wish.map(port);
        let (named, fresh) = (hostname(&format!("x{}", self.name)), [hostname(&fresh_label())]);
        let name = match wish {
            Some(port) if self.name.is_empty() => Name::Port { port, fresh: &fresh },
            _ => Name::Hostname(&named),
        };
        let request = ClaimRequest {
            api_key: tenant.key,
            name,
            kind: EndpointKind::Tcp,
            ports: Some(PortOffer { range, wish, start: range.first(), kept_until: self.at.plus(KEPT) }),
            instance: InstanceId::new(),
            prior_epoch: Epoch::NONE,
            pooled: false,
            node: NodeId::new(),
            at: self.at,
        };
        fixture.store.endpoints().claim(&bind(tenant.id), Some(&reserve(tenant.id)), &request).await
    }
}

fn port(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn fresh_label() -> String {
    format!("f{}", EndpointId::new().as_uuid().simple())
}

async fn an_endpoint_keeps_its_port(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let first = Ask::new("ssh", "20000-20009").claim(&fixture, tenant).await.unwrap();
    let other = Ask::new("db", "20000-20009").claim(&fixture, tenant).await.unwrap();
    assert_ne!(first.port.unwrap(), other.port.unwrap());
    for round in 2..4 {
        let again = Ask::new("ssh", "20000-20009").claim(&fixture, tenant).await.unwrap();
        assert_eq!((again.id, again.port, again.epoch), (first.id, first.port, Epoch(round)));
    }
    fixture.store.endpoints().release(first.id, Epoch(3)).await.unwrap();
    let after = Ask::new("ssh", "20000-20009").claim(&fixture, tenant).await.unwrap();
    assert_eq!(after.port, first.port);
}

/// The range has one port, so who gets it and who does not is plain.
async fn a_port_is_somebodys_until_it_was_not_served_for_long(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let held = Ask::new("a", "700-700").claim(&fixture, a).await.unwrap();
    fixture.store.endpoints().release(held.id, held.epoch).await.unwrap();
    let last = NOW.plus(KEPT).minus(Duration::from_micros(1));
    for at in [NOW, last] {
        let any = Ask::new("b", "700-700").at(at).claim(&fixture, b).await;
        assert!(matches!(any, Err(ClaimError::Port(PortError::NoneFree))), "{any:?}");
        let exactly = Ask::new("", "700-700").wish(700).at(at).claim(&fixture, b).await;
        assert!(matches!(exactly, Err(ClaimError::Port(PortError::NotYours))), "{exactly:?}");
    }
    // Its tenant may come back all the time, and from then on it counts anew.
    let back = Ask::new("a", "700-700").at(last).claim(&fixture, a).await.unwrap();
    assert_eq!(back.port, held.port);
    let early = Ask::new("b", "700-700").at(NOW.plus(KEPT)).claim(&fixture, b).await;
    assert!(matches!(early, Err(ClaimError::Port(PortError::NoneFree))), "{early:?}");
    let later = Ask::new("b", "700-700").at(last.plus(KEPT)).claim(&fixture, b).await.unwrap();
    assert_eq!(later.port, held.port);
    // What was refused has left nothing behind: the endpoint is b's first.
    assert_eq!(later.epoch, Epoch(1));
    let too_late = Ask::new("a", "700-700").at(last.plus(KEPT)).claim(&fixture, a).await;
    assert!(matches!(too_late, Err(ClaimError::Port(PortError::NoneFree))), "{too_late:?}");
}

async fn a_port_names_its_endpoint(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let first = Ask::new("", "20000-20009").wish(20_007).claim(&fixture, a).await.unwrap();
    assert_eq!(first.port, Some(port(20_007)));
    let again = Ask::new("", "20000-20009").wish(20_007).claim(&fixture, a).await.unwrap();
    assert_eq!((again.id, again.hostname, again.epoch), (first.id, first.hostname, Epoch(2)));
    let theirs = Ask::new("", "20000-20009").wish(20_007).claim(&fixture, b).await;
    assert!(matches!(theirs, Err(ClaimError::Port(PortError::NotYours))), "{theirs:?}");
    for outside in [19_999, 20_010] {
        let refused = Ask::new("", "20000-20009").wish(outside).claim(&fixture, b).await;
        let range = matches!(refused, Err(ClaimError::Port(PortError::OutOfRange(p))) if p == port(outside));
        assert!(range, "{refused:?}");
    }
}

async fn a_name_and_a_port_must_belong_together(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let first = Ask::new("ssh", "20000-20009").wish(20_003).claim(&fixture, tenant).await.unwrap();
    assert_eq!(first.port, Some(port(20_003)));
    let again = Ask::new("ssh", "20000-20009").wish(20_003).claim(&fixture, tenant).await.unwrap();
    assert_eq!((again.id, again.port), (first.id, first.port));
    let moved = Ask::new("ssh", "20000-20009").wish(20_004).claim(&fixture, tenant).await;
    let has = matches!(moved, Err(ClaimError::Port(PortError::HasAnother(p))) if p == port(20_003));
    assert!(has, "{moved:?}");
    let taken = Ask::new("db", "20000-20009").wish(20_003).claim(&fixture, tenant).await;
    assert!(matches!(taken, Err(ClaimError::Port(PortError::NotYours))), "{taken:?}");
}

async fn of_many_claims_at_once_each_gets_a_port_of_its_own(fixture: Fixture) {
    let mut tenants = Vec::new();
    for n in 0..8 {
        tenants.push(fixture.tenant(&format!("tenant-{n}")).await);
    }
    let fixture = Arc::new(fixture);
    let mut claims = JoinSet::new();
    // All look from the same place on: each finds what the others are about to take.
    for n in 0..16 {
        let (fixture, tenant) = (Arc::clone(&fixture), tenants[n % 8]);
        claims.spawn(async move { Ask::new(&n.to_string(), "20000-20099").claim(&fixture, tenant).await });
    }
    let mut ports = BTreeSet::new();
    while let Some(claim) = claims.join_next().await {
        match claim.unwrap() {
            Ok(claimed) => assert!(ports.insert(claimed.port.unwrap()), "one port for two"),
            Err(error) => assert!(matches!(error, ClaimError::Port(PortError::NoneFree)), "{error:?}"),
        }
    }
    assert!(!ports.is_empty());
}

async fn of_many_claims_for_one_port_one_tenant_wins(fixture: Fixture) {
    let mut tenants = Vec::new();
    for n in 0..8 {
        tenants.push(fixture.tenant(&format!("tenant-{n}")).await);
    }
    let fixture = Arc::new(fixture);
    let mut claims = JoinSet::new();
    for tenant in tenants {
        let fixture = Arc::clone(&fixture);
        claims.spawn(async move { Ask::new("", "700-700").wish(700).claim(&fixture, tenant).await });
    }
    let mut won = 0;
    while let Some(claim) = claims.join_next().await {
        match claim.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, ClaimError::Port(PortError::NotYours)), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
}

async fn one_tenant_does_not_get_all_ports(fixture: Fixture) {
    let (tenant, other) = (fixture.tenant("tenant").await, fixture.tenant("other").await);
    let ask = |n: u32| Ask::new(&n.to_string(), "20000-20099");
    for n in 0..PORTS_PER_TENANT_MAX {
        ask(n).claim(&fixture, tenant).await.unwrap();
    }
    let one_more = ask(PORTS_PER_TENANT_MAX).claim(&fixture, tenant).await;
    assert!(matches!(one_more, Err(ClaimError::Port(PortError::LimitReached))), "{one_more:?}");
    ask(0).claim(&fixture, tenant).await.unwrap();
    Ask::new("other", "20000-20099").claim(&fixture, other).await.unwrap();
    // What is not kept any more does not count.
    ask(PORTS_PER_TENANT_MAX).at(NOW.plus(KEPT)).claim(&fixture, tenant).await.unwrap();
}

async fn a_port_that_was_not_kept_counts_when_it_is_had_again(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let first = Ask::new("old", "20000-20099").claim(&fixture, tenant).await.unwrap();
    let late = |name: &str| Ask::new(name, "20010-20099").at(NOW.plus(KEPT));
    for n in 0..PORTS_PER_TENANT_MAX {
        late(&n.to_string()).claim(&fixture, tenant).await.unwrap();
    }
    let old = || Ask::new("old", "20000-20099");
    let one_more = old().at(NOW.plus(KEPT)).claim(&fixture, tenant).await;
    assert!(matches!(one_more, Err(ClaimError::Port(PortError::LimitReached))), "{one_more:?}");
    let back = old().at(NOW.plus(2 * KEPT)).claim(&fixture, tenant).await.unwrap();
    assert_eq!((back.id, back.port), (first.id, first.port));
}

async fn a_range_that_moved_moves_its_endpoints(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let first = Ask::new("ssh", "700-700").claim(&fixture, a).await.unwrap();
    let moved = Ask::new("ssh", "800-800").claim(&fixture, a).await.unwrap();
    assert_eq!((moved.id, moved.port), (first.id, Some(port(800))));
    // What is served now does not keep what was served before.
    let until = NOW.plus(2 * KEPT);
    assert!(fixture.store.endpoints().renew(moved.id, moved.epoch, until).await.unwrap());
    // The range moves back. For as long as any port, the one of before is nobody else's.
    let last = NOW.plus(KEPT).minus(Duration::from_micros(1));
    for at in [NOW, last] {
        let taken = Ask::new("b", "700-700").at(at).claim(&fixture, b).await;
        assert!(matches!(taken, Err(ClaimError::Port(PortError::NoneFree))), "{taken:?}");
        let taken = Ask::new("", "700-700").wish(700).at(at).claim(&fixture, b).await;
        assert!(matches!(taken, Err(ClaimError::Port(PortError::NotYours))), "{taken:?}");
    }
    let back = Ask::new("ssh", "700-700").at(last).claim(&fixture, a).await.unwrap();
    assert_eq!((back.id, back.port), (first.id, first.port));
    // With both on offer it keeps the one that it has.
    let both = Ask::new("ssh", "700-800").at(last).claim(&fixture, a).await.unwrap();
    assert_eq!(both.port, first.port);
    let other = Ask::new("ssh", "700-800").wish(800).at(last).claim(&fixture, a).await;
    assert!(matches!(other, Err(ClaimError::Port(PortError::HasAnother(p))) if p == port(700)), "{other:?}");
    let taken = Ask::new("b", "800-800").at(until.minus(Duration::from_micros(1))).claim(&fixture, b).await;
    assert!(matches!(taken, Err(ClaimError::Port(PortError::NoneFree))), "{taken:?}");
    assert_eq!(Ask::new("b", "800-800").at(until).claim(&fixture, b).await.unwrap().port, Some(port(800)));
}

async fn a_port_that_was_left_is_had_again_by_its_number(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let first = Ask::new("ssh", "700-700").claim(&fixture, tenant).await.unwrap();
    Ask::new("ssh", "800-800").claim(&fixture, tenant).await.unwrap();
    let back = Ask::new("", "700-709").wish(700).claim(&fixture, tenant).await.unwrap();
    assert_eq!((back.id, back.port, back.epoch), (first.id, first.port, Epoch(3)));
}

async fn ports_that_were_left_count_if_anybody_could_get_them(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    for n in 0..PORTS_PER_TENANT_MAX {
        Ask::new(&n.to_string(), "20000-20099").claim(&fixture, tenant).await.unwrap();
    }
    for n in 0..PORTS_PER_TENANT_MAX {
        Ask::new(&n.to_string(), "30000-30099").claim(&fixture, tenant).await.unwrap();
    }
    for range in ["30000-30099", "20000-20099"] {
        let one_more = Ask::new("more", range).claim(&fixture, tenant).await;
        assert!(matches!(one_more, Err(ClaimError::Port(PortError::LimitReached))), "{one_more:?}");
    }
}

async fn a_port_is_kept_by_who_holds_it(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let held = Ask::new("a", "700-700").claim(&fixture, a).await.unwrap();
    let endpoints = fixture.store.endpoints();
    let until = NOW.plus(KEPT).plus(DAY);
    assert!(!endpoints.renew(held.id, Epoch(2), until).await.unwrap(), "an epoch that is not in force");
    assert!(!endpoints.renew(EndpointId::new(), held.epoch, until).await.unwrap());
    assert!(endpoints.renew(held.id, held.epoch, until).await.unwrap());
    let early = Ask::new("b", "700-700").at(NOW.plus(KEPT)).claim(&fixture, b).await;
    assert!(matches!(early, Err(ClaimError::Port(PortError::NoneFree))), "{early:?}");
    Ask::new("b", "700-700").at(until).claim(&fixture, b).await.unwrap();
}
