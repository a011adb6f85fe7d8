//! Tenants, API keys, signing keys: what is written is read, in order.

use std::sync::Arc;

use adit_domain::id::{ApiKeyId, TenantId};
use adit_domain::{KeyHash, Rights, Secret, Timestamp};
use adit_store::{CreateTenantError, Event, NewApiKey, NewSigningKey, Revocation};
use tokio::task::JoinSet;

use crate::fixture::{DAY, Fixture, NOW, hash_of, installation, manage, on_both_engines};

on_both_engines![
    tenants_have_unique_names,
    unknown_is_none,
    a_key_is_found_by_its_hash_alone,
    revoking_a_key_tells_the_feed_once,
    times_come_back_as_they_were,
    suspending_tells_the_feed_once,
    of_several_first_signing_keys_one_stays,
    signing_keys_rotate,
];

async fn tenants_have_unique_names(fixture: Fixture) {
    let tenants = fixture.store.tenants();
    let first = fixture.tenant("acme").await;
    let second = tenants.create(&installation(), TenantId::new(), "acme", NOW).await;
    assert!(matches!(second, Err(CreateTenantError::NameTaken)));
    fixture.tenant("Acme").await;
    let found = tenants.by_name(&installation(), "acme").await.unwrap().unwrap();
    assert_eq!((found.id, found.created_at, found.suspended_at), (first.id, NOW, None));
    assert_eq!(tenants.by_id(&installation(), first.id).await.unwrap(), Some(found));
    let names: Vec<_> =
        tenants.list(&installation()).await.unwrap().into_iter().map(|tenant| tenant.name).collect();
    assert_eq!(names, ["Acme", "acme"], "the newest first");
}

async fn unknown_is_none(fixture: Fixture) {
    let store = &fixture.store;
    assert_eq!(store.tenants().by_name(&installation(), "nobody").await.unwrap(), None);
    assert_eq!(store.tenants().by_id(&installation(), TenantId::new()).await.unwrap(), None);
    assert!(store.api_keys().by_hash(KeyHash([0; 32])).await.unwrap().is_none());
    assert_eq!(store.api_keys().owner(&installation(), ApiKeyId::new()).await.unwrap(), None);
    let nobody = manage(TenantId::new());
    assert!(store.api_keys().list(&nobody).await.unwrap().is_empty());
    assert_eq!(store.tenants().suspend(&nobody, NOW).await.unwrap(), Revocation::Unknown);
    assert!(!store.signing_keys().retire(1, NOW).await.unwrap());
    assert!(store.changes().after(0).await.unwrap().is_empty());
    assert_eq!(store.changes().latest().await.unwrap(), 0);
}

async fn a_key_is_found_by_its_hash_alone(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let owner = fixture.store.api_keys().by_hash(hash_of(tenant.key)).await.unwrap().unwrap();
    assert_eq!((owner.id, owner.tenant, owner.rights), (tenant.key, tenant.id, Rights::AGENT));
    assert_eq!((owner.hash, owner.revoked_at, owner.suspended_at), (hash_of(tenant.key), None, None));
    fixture.store.tenants().suspend(&manage(tenant.id), NOW).await.unwrap();
    let owner = fixture.store.api_keys().by_hash(hash_of(tenant.key)).await.unwrap().unwrap();
    assert_eq!(owner.suspended_at, Some(NOW));
    let found = fixture.store.api_keys().owner(&installation(), tenant.key).await.unwrap();
    assert_eq!(found, Some(tenant.id));
}

async fn revoking_a_key_tells_the_feed_once(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let keys = fixture.store.api_keys();
    let later = NOW.plus(DAY);
    assert_eq!(keys.revoke(&manage(tenant.id), tenant.key, NOW).await.unwrap(), Revocation::Revoked);
    assert_eq!(keys.revoke(&manage(tenant.id), tenant.key, later).await.unwrap(), Revocation::AlreadyRevoked);
    assert_eq!(keys.revoke(&manage(tenant.id), ApiKeyId::new(), NOW).await.unwrap(), Revocation::Unknown);
    let events: Vec<_> = fixture.store.changes().after(0).await.unwrap().iter().map(|c| c.event).collect();
    assert_eq!(events, [Event::ApiKeyRevoked(tenant.key)]);
    assert_eq!(keys.list(&manage(tenant.id)).await.unwrap()[0].revoked_at, Some(NOW));
}

async fn times_come_back_as_they_were(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    for micros in [i64::MIN, -1, 0, 1, NOW.as_micros() + 1, i64::MAX] {
        let at = Timestamp::from_micros(micros);
        let id = ApiKeyId::new();
        let key = NewApiKey {
            id,
            name: "é\u{1F511}",
            hash: hash_of(id),
            hint: "abcd",
            rights: Rights::from_bits(u64::MAX),
            created_at: at,
            expires_at: Some(at),
        };
        fixture.store.api_keys().create(&manage(tenant.id), &key).await.unwrap();
        let read = fixture.store.api_keys().list(&manage(tenant.id)).await.unwrap().remove(0);
        assert_eq!((read.id, read.created_at, read.expires_at), (id, at, Some(at)));
        assert_eq!((read.name.as_str(), read.rights.bits()), ("é\u{1F511}", u64::MAX));
    }
}

async fn suspending_tells_the_feed_once(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let tenants = fixture.store.tenants();
    assert_eq!(tenants.suspend(&manage(tenant.id), NOW).await.unwrap(), Revocation::Revoked);
    assert_eq!(tenants.suspend(&manage(tenant.id), NOW).await.unwrap(), Revocation::AlreadyRevoked);
    let events: Vec<_> = fixture.store.changes().after(0).await.unwrap().iter().map(|c| c.event).collect();
    assert_eq!(events, [Event::TenantSuspended(tenant.id)]);
}

async fn of_several_first_signing_keys_one_stays(fixture: Fixture) {
    let fixture = Arc::new(fixture);
    let mut starts = JoinSet::new();
    for n in 1..=8 {
        let fixture = Arc::clone(&fixture);
        starts.spawn(async move {
            let key = NewSigningKey { public_key: &[n; 32], seed: &Secret::new([n; 32]), created_at: NOW };
            fixture.store.signing_keys().add_first(&key).await.unwrap()
        });
    }
    let added: Vec<_> = starts.join_all().await.into_iter().flatten().collect();
    assert_eq!(added, [1]);
    assert_eq!(fixture.store.signing_keys().list().await.unwrap().len(), 1);
}

async fn signing_keys_rotate(fixture: Fixture) {
    let keys = fixture.store.signing_keys();
    for n in 1..=3 {
        let key = NewSigningKey { public_key: &[n; 32], seed: &Secret::new([n; 32]), created_at: NOW };
        assert_eq!(keys.add(&key).await.unwrap(), u32::from(n));
    }
    assert!(keys.retire(1, NOW).await.unwrap());
    assert!(!keys.retire(1, NOW).await.unwrap());
    let listed: Vec<_> = keys.list().await.unwrap();
    let shown: Vec<_> =
        listed.iter().map(|k| (k.key_id, k.public_key[0], k.seed.expose()[31], k.retired_at)).collect();
    assert_eq!(shown, [(3, 3, 3, None), (2, 2, 2, None), (1, 1, 1, Some(NOW))]);
    let events: Vec<_> = fixture.store.changes().after(0).await.unwrap().iter().map(|c| c.event).collect();
    let added = [1, 2, 3].map(Event::SigningKeyAdded);
    assert_eq!(events[..3], added);
    assert_eq!(events[3..], [Event::SigningKeyRetired(1)]);
}
