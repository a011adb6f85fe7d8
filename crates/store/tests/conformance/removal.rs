//! Endpoints that are listed and removed.

use std::num::NonZeroU16;
use std::time::Duration;

use adit_domain::access::{Action, Actor, Permit, Resource, authorize};
use adit_domain::id::{InstanceId, NodeId, TenantId};
use adit_domain::{EndpointKind, Epoch, Timestamp};
use adit_store::limits::ENDPOINTS_PER_TENANT_MAX;
use adit_store::{
    ChangeRecord, ClaimError, ClaimRequest, ClaimedEndpoint, Event, Name, PortError, PortOffer, StoreError,
};

use crate::fixture::{
    DAY, Fixture, NOW, Tenant, bind, hostname, installation, manage, on_both_engines, reserve,
};

on_both_engines![
    a_removed_endpoint_is_gone_and_the_feed_says_so,
    its_name_stays_its_tenants,
    who_held_it_does_not_come_back_to_it,
    its_default_makes_room_for_another,
    its_port_is_nobodys_for_as_long_as_any,
    as_another_kind_it_keeps_its_port_from_others,
    a_tenant_removes_its_own_and_makes_room,
];

fn endpoints(tenant: TenantId) -> Permit {
    authorize(&Actor::Operator, Action::ManageEndpoints, &Resource::Tenant(tenant)).unwrap()
}

async fn take(fixture: &Fixture, tenant: Tenant, label: &str) -> Result<ClaimedEndpoint, ClaimError> {
    fixture.claim(tenant, Name::Hostname(&hostname(label)), InstanceId::new(), 0).await
}

async fn remove(fixture: &Fixture, tenant: Tenant, label: &str) -> bool {
    fixture.store.endpoints().remove(&endpoints(tenant.id), &hostname(label), NOW).await.unwrap()
}

async fn names(fixture: &Fixture, tenant: Tenant) -> Vec<String> {
    let list = fixture.store.endpoints().list(&endpoints(tenant.id)).await.unwrap();
    list.into_iter().map(|endpoint| endpoint.hostname).collect()
}

async fn a_removed_endpoint_is_gone_and_the_feed_says_so(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let shop = take(&fixture, tenant, "shop").await.unwrap();
    take(&fixture, tenant, "blog").await.unwrap();
    let list = fixture.store.endpoints().list(&endpoints(tenant.id)).await.unwrap();
    assert_eq!(names(&fixture, tenant).await, ["blog.example.com", "shop.example.com"]);
    let listed = &list[1];
    assert_eq!((listed.id, listed.kind, listed.port), (shop.id, EndpointKind::Http, None));
    assert_eq!(listed.created_at, NOW);
    let owner = fixture.store.endpoints().owner(&installation(), &hostname("shop")).await.unwrap();
    assert_eq!(owner, Some(tenant.id));

    assert!(remove(&fixture, tenant, "shop").await);
    assert!(!remove(&fixture, tenant, "shop").await, "it is gone");
    assert_eq!(names(&fixture, tenant).await, ["blog.example.com"]);
    let store = fixture.store.endpoints();
    assert_eq!(store.kind_of(&hostname("shop")).await.unwrap(), None);
    assert_eq!(store.owner(&installation(), &hostname("shop")).await.unwrap(), None);
    let changes = fixture.store.changes().after(0).await.unwrap();
    let event = Event::EndpointRemoved { endpoint: shop.id, epoch: Epoch(2) };
    assert_eq!(changes, [ChangeRecord { seq: 1, event, at: NOW }]);
}

async fn its_name_stays_its_tenants(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let first = take(&fixture, a, "shop").await.unwrap();
    assert!(remove(&fixture, a, "shop").await);
    assert!(matches!(take(&fixture, b, "shop").await, Err(ClaimError::NotYours)));
    let again = take(&fixture, a, "shop").await.unwrap();
    assert_eq!((again.id, again.epoch), (first.id, Epoch(3)));
    assert_eq!(names(&fixture, a).await, ["shop.example.com"]);
    assert_eq!(fixture.store.endpoints().kind_of(&hostname("shop")).await.unwrap(), Some(EndpointKind::Http));
}

async fn who_held_it_does_not_come_back_to_it(fixture: Fixture) {
    let (tenant, holder) = (fixture.tenant("tenant").await, InstanceId::new());
    let shop = hostname("shop");
    let held = fixture.claim(tenant, Name::Hostname(&shop), holder, 0).await.unwrap();
    assert!(remove(&fixture, tenant, "shop").await);
    for prior in [held.epoch.0, held.epoch.0 + 1, held.epoch.0 + 2] {
        let back = fixture.claim(tenant, Name::Hostname(&shop), holder, prior).await;
        assert!(matches!(back, Err(ClaimError::NotYours)), "{prior}: {back:?}");
    }
    assert_eq!(names(&fixture, tenant).await, <[&str; 0]>::default());
    // Nor when somebody has it again.
    take(&fixture, tenant, "shop").await.unwrap();
    let back = fixture.claim(tenant, Name::Hostname(&shop), holder, held.epoch.0).await;
    assert!(matches!(back, Err(ClaimError::Replaced)), "{back:?}");
}

async fn its_default_makes_room_for_another(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let (one, two) = ([hostname("one")], [hostname("two")]);
    let claim = async |fresh| {
        let name = Name::Default { purpose: "web", fresh };
        fixture.claim(tenant, name, InstanceId::new(), 0).await.unwrap().hostname
    };
    assert_eq!(claim(&one).await, one[0]);
    assert_eq!(claim(&two).await, one[0]);
    assert!(remove(&fixture, tenant, "one").await);
    assert_eq!(claim(&two).await, two[0]);
}

/// A claim of a port from a range of one.
async fn claim_port(
    fixture: &Fixture,
    (tenant, label, kind): (Tenant, &str, EndpointKind),
    at: Timestamp,
) -> Result<Option<NonZeroU16>, ClaimError> {
    let name = hostname(label);
    let request = ClaimRequest {
        api_key: tenant.key,
        name: Name::Hostname(&name),
        kind,
        ports: Some(PortOffer {
            range: "700-700".parse().unwrap(),
            wish: None,
            start: NonZeroU16::new(700).unwrap(),
            kept_until: at.plus(DAY),
        }),
        instance: InstanceId::new(),
        prior_epoch: Epoch::NONE,
        pooled: false,
        node: NodeId::new(),
        at,
    };
    let claimed =
        fixture.store.endpoints().claim(&bind(tenant.id), Some(&reserve(tenant.id)), &request).await;
    claimed.map(|claimed| claimed.port)
}

async fn its_port_is_nobodys_for_as_long_as_any(fixture: Fixture) {
    use EndpointKind::{Tcp, Udp};
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let port = NonZeroU16::new(700);
    assert_eq!(claim_port(&fixture, (a, "ssh", Tcp), NOW).await.unwrap(), port);
    let list = fixture.store.endpoints().list(&endpoints(a.id)).await.unwrap();
    assert_eq!((list[0].kind, list[0].port), (Tcp, port));
    assert!(remove(&fixture, a, "ssh").await);
    let taken = claim_port(&fixture, (b, "db", Tcp), NOW.plus(DAY / 2)).await;
    assert!(matches!(taken, Err(ClaimError::Port(PortError::NoneFree))), "{taken:?}");
    // With its name its tenant has it again, and as another kind another one.
    assert_eq!(claim_port(&fixture, (a, "ssh", Tcp), NOW).await.unwrap(), port);
    assert!(remove(&fixture, a, "ssh").await);
    assert_eq!(claim_port(&fixture, (a, "ssh", Udp), NOW).await.unwrap(), port);
    assert!(remove(&fixture, a, "ssh").await);
    assert_eq!(claim_port(&fixture, (b, "db", Udp), NOW.plus(DAY)).await.unwrap(), port);
}

/// Moments at which nobody else gets a port that is kept until `end`.
fn just_before(end: Timestamp) -> [Timestamp; 3] {
    [NOW, NOW.plus(DAY / 2), end.minus(Duration::from_micros(1))]
}

async fn as_another_kind_it_keeps_its_port_from_others(fixture: Fixture) {
    use EndpointKind::{Tcp, Udp};
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let port = NonZeroU16::new(700);
    assert_eq!(claim_port(&fixture, (a, "ssh", Tcp), NOW).await.unwrap(), port);
    assert!(remove(&fixture, a, "ssh").await);
    assert_eq!(claim_port(&fixture, (a, "ssh", Udp), NOW).await.unwrap(), port);
    let list = fixture.store.endpoints().list(&endpoints(a.id)).await.unwrap();
    assert_eq!(list.iter().map(|e| (e.kind, e.port)).collect::<Vec<_>>(), [(Udp, port)]);
    // What is served as the one kind does not keep the port of the other.
    assert!(fixture.store.endpoints().renew(list[0].id, Epoch(3), NOW.plus(10 * DAY)).await.unwrap());
    for at in just_before(NOW.plus(DAY)) {
        let taken = claim_port(&fixture, (b, "db", Tcp), at).await;
        assert!(matches!(taken, Err(ClaimError::Port(PortError::NoneFree))), "{at:?}: {taken:?}");
    }
    // It comes back to it, and leaves once more.
    assert!(remove(&fixture, a, "ssh").await);
    assert_eq!(claim_port(&fixture, (a, "ssh", Tcp), NOW.plus(DAY / 2)).await.unwrap(), port);
    assert!(remove(&fixture, a, "ssh").await);
    take(&fixture, a, "ssh").await.unwrap();
    let end = NOW.plus(DAY / 2).plus(DAY);
    for at in just_before(end) {
        let taken = claim_port(&fixture, (b, "db", Tcp), at).await;
        assert!(matches!(taken, Err(ClaimError::Port(PortError::NoneFree))), "{at:?}: {taken:?}");
    }
    assert_eq!(claim_port(&fixture, (b, "db", Tcp), end).await.unwrap(), port);
}

async fn a_tenant_removes_its_own_and_makes_room(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    for n in 0..ENDPOINTS_PER_TENANT_MAX {
        take(&fixture, a, &format!("n{n}")).await.unwrap();
    }
    assert!(matches!(take(&fixture, a, "more").await, Err(ClaimError::LimitReached)));
    assert!(!remove(&fixture, b, "n0").await, "it is not b's");
    assert!(matches!(take(&fixture, a, "more").await, Err(ClaimError::LimitReached)));
    assert!(remove(&fixture, a, "n0").await);
    take(&fixture, a, "more").await.unwrap();
    // What comes back takes its place again.
    assert!(matches!(take(&fixture, a, "n0").await, Err(ClaimError::LimitReached)));
    for permit in [installation(), manage(a.id), bind(a.id)] {
        let store = fixture.store.endpoints();
        assert!(matches!(store.list(&permit).await, Err(StoreError::Permit)));
        assert!(matches!(store.remove(&permit, &hostname("n1"), NOW).await, Err(StoreError::Permit)));
    }
    let owner = fixture.store.endpoints().owner(&manage(a.id), &hostname("n1")).await;
    assert!(matches!(owner, Err(StoreError::Permit)));
}
