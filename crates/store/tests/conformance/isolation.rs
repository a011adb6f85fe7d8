//! A tenant's permit never reaches another tenant's rows.

use adit_domain::id::{ApiKeyId, CapabilityId, InstanceId, TenantId};
use adit_store::{ClaimError, IssueError, Name, Renewal, Revocation, StoreError};

use crate::fixture::{
    DAY, Fixture, NOW, bind, hostname, installation, issue, manage, new_capability, on_both_engines,
};

on_both_engines![another_tenants_rows_do_not_exist, a_permit_for_something_else_opens_nothing];

async fn another_tenants_rows_do_not_exist(fixture: Fixture) {
    let (a, b) = (fixture.tenant("a").await, fixture.tenant("b").await);
    let store = &fixture.store;
    let capability = new_capability(a);
    store.capabilities().issue(&issue(a.id), &capability).await.unwrap();
    let revoked = fixture.key(a.id, None).await;
    store.api_keys().revoke(&manage(a.id), revoked, NOW).await.unwrap();
    fixture.claim(a, Name::Hostname(&hostname("shop")), InstanceId::new(), 0).await.unwrap();

    // b, and a tenant that does not exist: the nil id and a random one.
    for outsider in [b.id, TenantId::from_bytes([0; 16]), TenantId::new()] {
        let permit = manage(outsider);
        for key in [a.key, revoked, ApiKeyId::from_bytes([0; 16]), ApiKeyId::new()] {
            assert_eq!(store.api_keys().revoke(&permit, key, NOW).await.unwrap(), Revocation::Unknown);
        }
        for id in [capability.id, CapabilityId::from_bytes([0; 16]), CapabilityId::new()] {
            assert_eq!(store.capabilities().revoke(&permit, id, NOW).await.unwrap(), Revocation::Unknown);
        }
        assert!(store.api_keys().list(&permit).await.unwrap().iter().all(|key| key.id == b.key));
        assert!(store.capabilities().list(&permit, NOW).await.unwrap().is_empty());
        let renewal = Renewal {
            id: CapabilityId::new(),
            previous: capability.id,
            issued_at: NOW,
            expires_at: NOW.plus(DAY),
        };
        let renewed = store.capabilities().renew(&issue(outsider), &renewal).await;
        assert!(matches!(renewed, Err(IssueError::KeyNotValid)));
    }
    let claimed = fixture.claim(b, Name::Hostname(&hostname("shop")), InstanceId::new(), 1).await;
    assert!(matches!(claimed, Err(ClaimError::NotYours)));
    assert_eq!(store.api_keys().list(&manage(a.id)).await.unwrap().len(), 2);
    assert_eq!(store.capabilities().list(&manage(a.id), NOW).await.unwrap()[0].revoked_at, None);
}

async fn a_permit_for_something_else_opens_nothing(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let store = &fixture.store;
    for permit in [installation(), issue(tenant.id), bind(tenant.id)] {
        assert!(matches!(store.api_keys().list(&permit).await, Err(StoreError::Permit)));
        let revoked = store.api_keys().revoke(&permit, tenant.key, NOW).await;
        assert!(matches!(revoked, Err(StoreError::Permit)));
        assert!(matches!(store.capabilities().list(&permit, NOW).await, Err(StoreError::Permit)));
    }
    for permit in [installation(), manage(tenant.id), bind(tenant.id)] {
        let issued = store.capabilities().issue(&permit, &new_capability(tenant)).await;
        assert!(matches!(issued, Err(IssueError::Store(StoreError::Permit))));
    }
    for permit in [manage(tenant.id), issue(tenant.id)] {
        assert!(matches!(store.tenants().list(&permit).await, Err(StoreError::Permit)));
        assert!(matches!(store.api_keys().owner(&permit, tenant.key).await, Err(StoreError::Permit)));
    }
}
