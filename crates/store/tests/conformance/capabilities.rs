//! Handing out, renewing and revoking capabilities.

use adit_domain::id::{CapabilityId, InstanceId};
use adit_domain::{Plan, Timestamp};
use adit_store::{Event, IssueError, Issued, NewCapability, Renewal, Revocation, StoreError};

use crate::fixture::{
    DAY, Fixture, NOW, Tenant, installation, issue, manage, new_capability, on_both_engines,
};

on_both_engines![
    what_is_issued_is_listed_until_it_ends,
    nothing_outlives_its_key,
    a_key_that_does_not_count_gets_nothing,
    revoking_tells_the_feed_once,
    what_is_revoked_with_its_key_is_listed_as_revoked,
    renewal_keeps_the_agent_and_ends_with_revocation,
    ended_ones_are_pruned,
    the_plan_of_this_moment_is_told,
];

async fn what_is_issued_is_listed_until_it_ends(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let capabilities = fixture.store.capabilities();
    let mut expected = Vec::new();
    for hours in [1, 2, 3] {
        let expires_at = NOW.plus(DAY * hours);
        let new = NewCapability { expires_at, ..new_capability(tenant) };
        assert_eq!(capabilities.issue(&issue(tenant.id), &new).await.unwrap().expires_at, expires_at);
        expected.push(new.id);
    }
    expected.reverse();
    let listed = capabilities.list(&manage(tenant.id), NOW).await.unwrap();
    assert_eq!(listed.iter().map(|c| c.id).collect::<Vec<_>>(), expected, "the newest first");
    assert!(listed.iter().all(|c| c.api_key == tenant.key && c.agent_public_key == [3; 32]));
    assert!(listed.iter().all(|c| c.issued_at == NOW && c.revoked_at.is_none()));
    let later = capabilities.list(&manage(tenant.id), NOW.plus(DAY * 2)).await.unwrap();
    assert_eq!(later.len(), 1, "what ends at this moment has ended");
    let keys = fixture.store.api_keys().list(&manage(tenant.id)).await.unwrap();
    assert_eq!(keys[0].last_used_at, Some(NOW));
}

async fn what_is_revoked_with_its_key_is_listed_as_revoked(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let capabilities = fixture.store.capabilities();
    let (before, after, never) = (new_capability(tenant), new_capability(tenant), new_capability(tenant));
    for new in [&before, &after, &never] {
        capabilities.issue(&issue(tenant.id), new).await.unwrap();
    }
    let of_key = NOW.plus(DAY / 4);
    capabilities.revoke(&manage(tenant.id), before.id, NOW).await.unwrap();
    fixture.store.api_keys().revoke(&manage(tenant.id), tenant.key, of_key).await.unwrap();
    capabilities.revoke(&manage(tenant.id), after.id, NOW.plus(DAY / 2)).await.unwrap();
    let listed = capabilities.list(&manage(tenant.id), NOW).await.unwrap();
    for (new, at) in [(&before, NOW), (&after, of_key), (&never, of_key)] {
        let record = listed.iter().find(|record| record.id == new.id).unwrap();
        assert_eq!(record.revoked_at, Some(at));
    }
}

async fn nothing_outlives_its_key(fixture: Fixture) {
    let mut tenant = fixture.tenant("tenant").await;
    let end = NOW.plus(DAY / 2);
    tenant.key = fixture.key(tenant.id, Some(end)).await;
    let capabilities = fixture.store.capabilities();
    let new = new_capability(tenant);
    assert_eq!(capabilities.issue(&issue(tenant.id), &new).await.unwrap().expires_at, end);
    let renewed = capabilities.renew(&issue(tenant.id), &renewal(new.id)).await.unwrap();
    assert_eq!(renewed.expires_at, end);
}

async fn a_key_that_does_not_count_gets_nothing(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let other = fixture.tenant("other").await;
    let revoked = Tenant { key: fixture.key(tenant.id, None).await, ..tenant };
    fixture.store.api_keys().revoke(&manage(tenant.id), revoked.key, NOW).await.unwrap();
    let expired = Tenant { key: fixture.key(tenant.id, Some(NOW)).await, ..tenant };
    let strange = Tenant { key: other.key, ..tenant };
    for (case, tenant) in [("revoked", revoked), ("expired", expired), ("another's", strange)] {
        let outcome = fixture.store.capabilities().issue(&issue(tenant.id), &new_capability(tenant)).await;
        assert!(matches!(outcome, Err(IssueError::KeyNotValid)), "{case}");
    }
    fixture.store.tenants().suspend(&manage(tenant.id), NOW).await.unwrap();
    let outcome = fixture.store.capabilities().issue(&issue(tenant.id), &new_capability(tenant)).await;
    assert!(matches!(outcome, Err(IssueError::KeyNotValid)), "suspended");
}

async fn revoking_tells_the_feed_once(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let capabilities = fixture.store.capabilities();
    let new = new_capability(tenant);
    capabilities.issue(&issue(tenant.id), &new).await.unwrap();
    let revoke = || async { capabilities.revoke(&manage(tenant.id), new.id, NOW).await.unwrap() };
    assert_eq!(revoke().await, Revocation::Revoked);
    assert_eq!(revoke().await, Revocation::AlreadyRevoked);
    let unknown = capabilities.revoke(&manage(tenant.id), CapabilityId::new(), NOW).await.unwrap();
    assert_eq!(unknown, Revocation::Unknown);
    let changes = fixture.store.changes().after(0).await.unwrap();
    let events: Vec<_> = changes.iter().map(|change| (change.seq, change.event, change.at)).collect();
    assert_eq!(events, [(1, Event::CapabilityRevoked(new.id), NOW)]);
    let listed = capabilities.list(&manage(tenant.id), NOW).await.unwrap();
    assert_eq!(listed[0].revoked_at, Some(NOW));
}

async fn renewal_keeps_the_agent_and_ends_with_revocation(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let capabilities = fixture.store.capabilities();
    let first = NewCapability { instance: InstanceId::from_bytes([9; 16]), ..new_capability(tenant) };
    capabilities.issue(&issue(tenant.id), &first).await.unwrap();
    let second = renewal(first.id);
    capabilities.renew(&issue(tenant.id), &second).await.unwrap();
    let listed = capabilities.list(&manage(tenant.id), NOW).await.unwrap();
    assert_eq!(listed.iter().map(|c| c.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert!(listed.iter().all(|c| c.instance == first.instance && c.agent_public_key == [3; 32]));
    capabilities.revoke(&manage(tenant.id), second.id, NOW).await.unwrap();
    for (case, previous) in [("revoked", second.id), ("unknown", CapabilityId::new())] {
        let outcome = capabilities.renew(&issue(tenant.id), &renewal(previous)).await;
        assert!(matches!(outcome, Err(IssueError::KeyNotValid)), "{case}");
    }
    fixture.store.api_keys().revoke(&manage(tenant.id), tenant.key, NOW).await.unwrap();
    let outcome = capabilities.renew(&issue(tenant.id), &renewal(first.id)).await;
    assert!(matches!(outcome, Err(IssueError::KeyNotValid)), "its key is revoked");
}

async fn ended_ones_are_pruned(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let capabilities = fixture.store.capabilities();
    capabilities.issue(&issue(tenant.id), &new_capability(tenant)).await.unwrap();
    let end = NOW.plus(DAY);
    assert_eq!(capabilities.prune(end).await.unwrap(), 0);
    assert_eq!(capabilities.prune(Timestamp::from_micros(end.as_micros() + 1)).await.unwrap(), 1);
}

fn renewal(previous: CapabilityId) -> Renewal {
    Renewal { id: CapabilityId::new(), previous, issued_at: NOW, expires_at: NOW.plus(DAY) }
}

async fn the_plan_of_this_moment_is_told(fixture: Fixture) {
    let (tenant, other) = (fixture.tenant("tenant").await, fixture.tenant("other").await);
    let (tenants, capabilities) = (fixture.store.tenants(), fixture.store.capabilities());
    let first = new_capability(tenant);
    assert_eq!(capabilities.issue(&issue(tenant.id), &first).await.unwrap().plan, Plan::SelfHosted);

    assert!(tenants.set_plan(&installation(), "tenant", Plan::Starter).await.unwrap());
    assert!(!tenants.set_plan(&installation(), "nobody", Plan::Starter).await.unwrap());
    let denied = tenants.set_plan(&manage(tenant.id), "tenant", Plan::SelfHosted).await;
    assert!(matches!(denied, Err(StoreError::Permit)));

    let renewal =
        Renewal { id: CapabilityId::new(), previous: first.id, issued_at: NOW, expires_at: NOW.plus(DAY) };
    let renewed = capabilities.renew(&issue(tenant.id), &renewal).await.unwrap();
    assert_eq!(renewed, Issued { expires_at: NOW.plus(DAY), plan: Plan::Starter });
    let of_other = capabilities.issue(&issue(other.id), &new_capability(other)).await.unwrap();
    assert_eq!(of_other.plan, Plan::SelfHosted);
    let listed = tenants.by_name(&installation(), "tenant").await.unwrap().unwrap();
    assert_eq!(listed.plan, Plan::Starter);
}
