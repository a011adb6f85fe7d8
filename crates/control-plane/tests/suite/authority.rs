//! What nodes ask.

use std::time::{Duration, Instant};

use adit_authority::{
    Admission, Change, Claim, ClaimError, Directory, RefreshError, RequestedName, Sequence,
};
use adit_control_plane::limits::{
    CAPABILITY_LIFETIME, CLOCK_AHEAD_MAX, HISTORY_KEPT, PORT_KEPT, SIGNING_KEY_PUBLISHED_FOR,
};
use adit_control_plane::{Admin, Clock, ControlPlane, History};
use adit_domain::id::{InstanceId, NodeId};
use adit_domain::{EndpointKind, Epoch, Rights, Secret, Timestamp};
use adit_store::{NewSigningKey, Store};
use adit_wire::capability::{AgentKey, Capability};

use crate::fixture::{Fixture, HOUR, hostname, settings};

/// How fast a revocation must reach a node.
const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn names_are_one_label_below_the_domain() {
    let fixture = Fixture::new().await;
    let capability = fixture.capability(&fixture.key().await.key).await;
    for (name, expected) in [
        ("shop.example.com", "claimed"),
        ("example.com", "invalid"),
        ("a.shop.example.com", "invalid"),
        ("shop.example.org", "invalid"),
        ("shopexample.com", "invalid"),
        ("app.example.com", "not yours"),
    ] {
        let name = hostname(name);
        let claimed = fixture.control_plane.claim(exact(&capability, name.as_str())).await;
        let outcome = match &claimed {
            Ok(claimed) if claimed.hostname == name && claimed.epoch == Epoch(1) => "claimed",
            Err(ClaimError::NameInvalid { domain }) if *domain == settings().domain => "invalid",
            Err(ClaimError::NotYours) => "not yours",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(outcome, expected, "{name}");
    }
    for (name, exists) in
        [("shop.example.com", true), ("free.example.com", false), ("shop.example.org", false)]
    {
        let kind = exists.then_some(EndpointKind::Http);
        assert_eq!(fixture.control_plane.kind_of(&hostname(name)).await, Ok(kind), "{name}");
    }
}

#[tokio::test]
async fn default_names_are_stable_and_per_agent_and_upstream() {
    let fixture = Fixture::new().await;
    let capability = fixture.capability(&fixture.key().await.key).await;
    let claim = async |seed: u8, label: &str| {
        let agent = AgentKey::from_seed(&[seed; 32]).public();
        let name = RequestedName::Default { agent, label: label.to_owned() };
        let claim = Claim { name, ..exact(&capability, "unused.example.com") };
        fixture.control_plane.claim(claim).await.unwrap().hostname
    };
    let first = claim(1, "localhost:3000").await;
    assert!(first.is_direct_child_of(&settings().domain));
    assert_eq!(claim(1, "localhost:3000").await, first);
    assert_ne!(claim(1, "localhost:4000").await, first);
    assert_ne!(claim(2, "localhost:3000").await, first);
    let long = "é".repeat(100);
    assert_eq!(claim(1, &long).await, claim(1, &long).await);
}

#[tokio::test]
async fn rights_decide_what_may_be_claimed() {
    let fixture = Fixture::new().await;
    let mut capability = fixture.capability(&fixture.key().await.key).await;
    let claim = |capability: &Capability| fixture.control_plane.claim(exact(capability, "shop.example.com"));
    capability.rights = Rights::NONE;
    assert_eq!(claim(&capability).await, Err(ClaimError::RightMissing));
    capability.rights = Rights::BIND;
    assert_eq!(claim(&capability).await, Err(ClaimError::RightMissing), "nobody owns it yet");
    capability.rights = Rights::AGENT;
    let claimed = claim(&capability).await.unwrap();
    capability.rights = Rights::BIND;
    assert_eq!(claim(&capability).await.unwrap().endpoint, claimed.endpoint);
    assert_eq!(fixture.control_plane.release(claimed.endpoint, claimed.epoch).await, Ok(()));
    fixture.admin.revoke_api_key(capability.api_key).await.unwrap();
    assert_eq!(claim(&capability).await, Err(ClaimError::Revoked));
}

#[tokio::test]
async fn another_tenant_and_a_newer_instance() {
    let fixture = Fixture::new().await;
    let ours = fixture.capability(&fixture.key().await.key).await;
    fixture.admin.create_tenant("other").await.unwrap();
    let key = fixture.admin.create_api_key("other", "laptop", None).await.unwrap();
    let theirs = fixture.capability(&key.key).await;
    let first = exact(&ours, "shop.example.com");
    fixture.control_plane.claim(first.clone()).await.unwrap();
    let stolen = fixture.control_plane.claim(exact(&theirs, "shop.example.com")).await;
    assert_eq!(stolen, Err(ClaimError::NotYours));
    let newer = fixture.control_plane.claim(exact(&ours, "shop.example.com")).await.unwrap();
    assert_eq!(newer.epoch, Epoch(2));
    let back = Claim { prior_epoch: Epoch(1), ..first };
    assert_eq!(fixture.control_plane.claim(back).await, Err(ClaimError::Replaced));
}

#[tokio::test]
async fn a_refreshed_capability_is_a_successor() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await;
    let old = fixture.capability(&key.key).await;
    fixture.pass(HOUR);
    let signed = fixture.control_plane.refresh(&old).await.unwrap();
    let new = fixture.verified(&signed).await;
    let end = fixture.now().plus(CAPABILITY_LIFETIME);
    let expected = Capability { id: new.id, issued_at: fixture.now(), expires_at: end, ..old.clone() };
    assert_eq!(new, expected);
    assert_ne!(new.id, old.id);
    fixture.admin.revoke_capability(old.id).await.unwrap();
    assert_eq!(fixture.control_plane.refresh(&old).await.err(), Some(RefreshError::Revoked));
    fixture.control_plane.refresh(&new).await.unwrap();
    fixture.admin.revoke_api_key(key.id).await.unwrap();
    assert_eq!(fixture.control_plane.refresh(&new).await.err(), Some(RefreshError::Revoked));
    fixture.store.close().await;
    assert!(matches!(fixture.control_plane.refresh(&new).await, Err(RefreshError::Unavailable(_))));
}

/// As `aditd admin apikey revoke` does it: another handle on the same file.
#[tokio::test]
async fn a_revocation_by_another_process_reaches_the_feed() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await;
    let feed = &fixture.control_plane;
    let start = feed.changes(Sequence::START, Duration::ZERO).await.unwrap();
    let elsewhere = Admin::new(Store::open(&fixture.url).await.unwrap(), Clock::wall());
    let started = Instant::now();
    let (changes, revoked) =
        tokio::join!(feed.changes(start.next, WITHIN * 4), elsewhere.revoke_api_key(key.id));
    revoked.unwrap();
    assert_eq!(changes.unwrap().changes, [Change::ApiKeyRevoked(key.id)]);
    assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_feed_waits_no_longer_than_it_is_told() {
    let fixture = Fixture::new().await;
    let feed = &fixture.control_plane;
    let start = feed.changes(Sequence::START, WITHIN * 100).await.unwrap();
    assert!(matches!(start.changes[..], [Change::SigningKey { key_id: 1, .. }, ..]), "{start:?}");
    let nothing = feed.changes(start.next, Duration::from_millis(10)).await.unwrap();
    assert_eq!((nothing.changes, nothing.next), (vec![], start.next));
}

#[tokio::test]
async fn whoever_missed_deleted_changes_gets_the_full_picture() {
    let fixture = Fixture::new().await;
    let feed = &fixture.control_plane;
    let (first, second, third) = (fixture.key().await, fixture.key().await, fixture.key().await);
    fixture.admin.revoke_api_key(first.id).await.unwrap();
    let start = feed.changes(Sequence::START, Duration::ZERO).await.unwrap();
    assert!(start.changes.contains(&Change::ApiKeyRevoked(first.id)));
    fixture.pass(HISTORY_KEPT * 2);
    fixture.admin.revoke_api_key(second.id).await.unwrap();
    feed.delete_history().await.unwrap();
    let (published, revoked) =
        (|c: &Change| matches!(c, Change::SigningKey { .. }), Change::ApiKeyRevoked(second.id));
    for missed in [Sequence::START, Sequence(1)] {
        let picture = feed.changes(missed, Duration::ZERO).await.unwrap();
        assert!(picture.changes.iter().any(published) && picture.changes.contains(&revoked), "{picture:?}");
        assert!(!picture.changes.contains(&Change::ApiKeyRevoked(first.id)));
    }
    let next = feed.changes(start.next, Duration::ZERO).await.unwrap();
    assert_eq!(next.changes, [revoked], "nothing was missed");
    fixture.pass(HISTORY_KEPT * 2);
    // Somebody still uses the installation: the clock is right.
    fixture.capability(&third.key).await;
    assert_eq!(feed.delete_history().await.unwrap(), History::Deleted);
    let picture = feed.changes(start.next, Duration::ZERO).await.unwrap();
    assert!(picture.changes.iter().all(published) && picture.next == next.next, "{picture:?}");
    let idle = feed.changes(picture.next, Duration::ZERO).await.unwrap();
    assert_eq!((idle.changes, idle.next), (vec![], picture.next));
}

#[tokio::test]
async fn a_clock_that_is_wrong_at_one_start_deletes_nothing() {
    let fixture = Fixture::new().await;
    let feed = &fixture.control_plane;
    let key = fixture.key().await;
    fixture.capability(&fixture.key().await.key).await;
    fixture.admin.revoke_api_key(key.id).await.unwrap();
    let picture = feed.changes(Sequence::START, Duration::ZERO).await.unwrap();
    fixture.pass(CLOCK_AHEAD_MAX);
    assert_eq!(feed.delete_history().await.unwrap(), History::Deleted);
    fixture.pass(HISTORY_KEPT * 100);
    assert_eq!(feed.delete_history().await.unwrap(), History::ClockInDoubt);
    assert_eq!(feed.changes(Sequence::START, Duration::ZERO).await.unwrap(), picture);
}

#[tokio::test]
async fn a_node_that_knows_more_than_the_database_gets_the_full_picture() {
    let fixture = Fixture::new().await;
    let feed = &fixture.control_plane;
    let key = fixture.key().await;
    fixture.admin.revoke_api_key(key.id).await.unwrap();
    let picture = feed.changes(Sequence::START, Duration::ZERO).await.unwrap();
    // The database was put back to what it was before the node's last changes.
    let beyond = Sequence(picture.next.0 + 1);
    assert_eq!(feed.changes(beyond, Duration::ZERO).await.unwrap(), picture);
}

#[tokio::test]
async fn signing_keys_rotate_without_a_gap() {
    let fixture = Fixture::new().await;
    let key = fixture.key().await;
    let signed_by = async || fixture.capability(&key.key).await.key_id;
    fixture.pass(HOUR);
    assert_eq!(signed_by().await, 1);
    let pair = adit_wire::capability::MintKey::generate(0).unwrap();
    let new = NewSigningKey { public_key: &pair.public().1, seed: &pair.seed(), created_at: fixture.now() };
    assert_eq!(fixture.store.signing_keys().add(&new).await.unwrap(), 2);
    assert_eq!(signed_by().await, 1, "nodes may not have heard of the new one");
    fixture.pass(SIGNING_KEY_PUBLISHED_FOR);
    assert_eq!(signed_by().await, 2);
    fixture.store.signing_keys().retire(1, fixture.now()).await.unwrap();
    let picture = fixture.control_plane.changes(Sequence::START, Duration::ZERO).await.unwrap();
    assert!(!picture.changes.iter().any(|c| matches!(c, Change::SigningKey { key_id: 1, .. })));
    assert!(picture.changes.contains(&Change::SigningKeyRetired { key_id: 1 }));
}

#[tokio::test]
async fn starting_again_keeps_the_signing_key() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        let store = Store::open(&fixture.url).await.unwrap();
        ControlPlane::start(store, settings(), Clock::wall()).await.unwrap();
    }
    assert_eq!(fixture.store.signing_keys().list().await.unwrap().len(), 1);
    let seed = Secret::new([0; 32]);
    let late = NewSigningKey { public_key: &[0; 32], seed: &seed, created_at: Timestamp::from_micros(0) };
    assert_eq!(fixture.store.signing_keys().add_first(&late).await.unwrap(), None);
}

/// Whoever still has its number somewhere must not reach another tenant.
#[tokio::test]
async fn nobody_else_gets_a_public_port_for_a_month() {
    const A_MOMENT: Duration = Duration::from_micros(1);
    let fixture = Fixture::new().await;
    let first = fixture.capability(&fixture.key().await.key).await;
    fixture.admin.create_tenant("umbrella").await.unwrap();
    let key = fixture.admin.create_api_key("umbrella", "laptop", None).await.unwrap();
    let second = fixture.capability(&key.key).await;
    let plane = &fixture.control_plane;
    let claim = async |capability: &Capability, name: &str| {
        plane.claim(Claim { kind: EndpointKind::Tcp, ..exact(capability, name) }).await
    };
    // All ports that there are.
    for name in ["one.example.com", "two.example.com"] {
        let claimed = claim(&first, name).await.unwrap();
        plane.release(claimed.endpoint, claimed.epoch).await.unwrap();
    }
    assert_eq!(claim(&second, "other.example.com").await, Err(ClaimError::NoPortFree));
    fixture.pass(PORT_KEPT.saturating_sub(A_MOMENT));
    assert_eq!(claim(&second, "other.example.com").await, Err(ClaimError::NoPortFree));
    fixture.pass(2 * A_MOMENT);
    claim(&second, "other.example.com").await.unwrap();
}

pub(crate) fn exact(capability: &Capability, name: &str) -> Claim {
    Claim {
        tenant: capability.tenant,
        api_key: capability.api_key,
        rights: capability.rights,
        name: RequestedName::Hostname(hostname(name)),
        port: None,
        kind: EndpointKind::Http,
        instance: InstanceId::new(),
        prior_epoch: Epoch::NONE,
        pooled: false,
        node: NodeId::new(),
    }
}
