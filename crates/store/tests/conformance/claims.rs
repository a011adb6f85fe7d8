//! Who holds an endpoint, and in which epoch.

use std::sync::Arc;

use adit_domain::id::{EndpointId, InstanceId};
use adit_domain::{EndpointKind, Epoch};
use adit_store::limits::{ENDPOINTS_PER_TENANT_MAX, EPOCH_MAX};
use adit_store::{ClaimError, ClaimRequest, Name};
use tokio::task::JoinSet;

use crate::fixture::{DAY, Fixture, NOW, Tenant, bind, hostname, manage, on_both_engines, reserve};

on_both_engines![
    of_64_claims_at_once_one_tenant_wins,
    fencing,
    pooling,
    members_of_a_pool_at_once_share_one_epoch,
    sessions_after_a_restore_share_one_epoch,
    a_default_name_is_stable,
    one_purpose_at_once_gets_one_name,
    the_limit_holds_at_once,
    a_name_is_reserved_only_with_a_permit,
    a_key_that_does_not_count_claims_nothing,
    release_compares_epochs,
];

async fn of_64_claims_at_once_one_tenant_wins(fixture: Fixture) {
    let mut tenants = Vec::new();
    for n in 0..8 {
        tenants.push(fixture.tenant(&format!("tenant-{n}")).await);
    }
    let fixture = Arc::new(fixture);
    let mut claims = JoinSet::new();
    for n in 0..64 {
        let (fixture, tenant) = (Arc::clone(&fixture), tenants[n % 8]);
        claims.spawn(async move {
            let claim = fixture.claim(tenant, Name::Hostname(&hostname("shop")), InstanceId::new(), 0).await;
            (tenant.id, claim)
        });
    }
    let (mut winners, mut epochs) = (Vec::new(), Vec::new());
    while let Some(claim) = claims.join_next().await {
        match claim.unwrap() {
            (tenant, Ok(claimed)) => {
                winners.push(tenant);
                epochs.push(claimed.epoch.0);
            }
            (_, Err(ClaimError::NotYours)) => {}
            (tenant, Err(error)) => panic!("{tenant}: {error:?}"),
        }
    }
    winners.dedup();
    assert_eq!(winners.len(), 1, "{winners:?}");
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7, 8], "each of the winner's claims took over from the one before");
}

/// Each case starts from an endpoint that instance A holds in epoch 2.
async fn fencing(fixture: Fixture) {
    let (a, b) = (InstanceId::new(), InstanceId::new());
    let tenant = fixture.tenant("tenant").await;
    let cases = [
        ("takes over from another", b, 0, Ok(3)),
        ("takes over from itself", a, 0, Ok(3)),
        ("resumes", a, 2, Ok(2)),
        ("the current epoch of somebody else", b, 2, Err("replaced")),
        ("an older epoch of the holder", a, 1, Err("replaced")),
        ("an older epoch of another", b, 1, Err("replaced")),
        ("a later epoch, after a restore from backup", a, 9, Ok(9)),
        ("the latest epoch there can be", b, EPOCH_MAX, Ok(EPOCH_MAX)),
        ("one beyond it", b, EPOCH_MAX + 1, Err("replaced")),
        ("far beyond it", a, u64::MAX, Err("replaced")),
    ];
    for (n, (case, instance, prior, expected)) in cases.into_iter().enumerate() {
        let name = hostname(&format!("case-{n}"));
        for prior in [0, 0] {
            fixture.claim(tenant, Name::Hostname(&name), a, prior).await.unwrap();
        }
        let outcome = match fixture.claim(tenant, Name::Hostname(&name), instance, prior).await {
            Ok(claimed) => Ok(claimed.epoch.0),
            Err(ClaimError::Replaced) => Err("replaced"),
            Err(error) => panic!("{case}: {error:?}"),
        };
        assert_eq!(outcome, expected, "{case}");
    }
}

/// Each case starts from an endpoint that instance A holds in epoch 2, alone or in a pool.
async fn pooling(fixture: Fixture) {
    let (a, b) = (InstanceId::new(), InstanceId::new());
    let tenant = fixture.tenant("tenant").await;
    let (alone, pooled) = (false, true);
    let cases = [
        ("joins a pool", pooled, b, 0, pooled, Ok(2)),
        ("joins its own pool again", pooled, a, 0, pooled, Ok(2)),
        ("takes over from one that is alone", alone, b, 0, pooled, Ok(3)),
        ("takes over from a pool", pooled, b, 0, alone, Ok(3)),
        ("a member comes back", pooled, b, 2, pooled, Ok(2)),
        ("the same, to an epoch that was never its own", alone, b, 2, pooled, Err("replaced")),
        ("alone in the epoch of a pool", pooled, a, 2, alone, Err("replaced")),
        ("pooled in its own epoch, which is not", alone, a, 2, pooled, Err("replaced")),
        ("a member of an older pool", pooled, a, 1, pooled, Err("replaced")),
        ("a member of a later pool, after a restore from backup", pooled, b, 9, pooled, Ok(9)),
    ];
    for (n, (case, held, instance, prior, asked, expected)) in cases.into_iter().enumerate() {
        let name = hostname(&format!("case-{n}"));
        fixture.claim_as(tenant, Name::Hostname(&name), (a, 0, alone)).await.unwrap();
        fixture.claim_as(tenant, Name::Hostname(&name), (a, 0, held)).await.unwrap();
        let outcome = fixture.claim_as(tenant, Name::Hostname(&name), (instance, prior, asked)).await;
        let outcome = match outcome {
            Ok(claimed) => Ok(claimed.epoch.0),
            Err(ClaimError::Replaced) => Err("replaced"),
            Err(error) => panic!("{case}: {error:?}"),
        };
        assert_eq!(outcome, expected, "{case}");
    }
}

async fn members_of_a_pool_at_once_share_one_epoch(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let fixture = Arc::new(fixture);
    let mut claims = JoinSet::new();
    for _ in 0..16 {
        let fixture = Arc::clone(&fixture);
        claims.spawn(async move {
            let name = hostname("shop");
            let claim = fixture.claim_as(tenant, Name::Hostname(&name), (InstanceId::new(), 0, true)).await;
            claim.unwrap().epoch
        });
    }
    assert_eq!(claims.join_all().await, [Epoch(1); 16]);
}

async fn sessions_after_a_restore_share_one_epoch(fixture: Fixture) {
    let (tenant, a) = (fixture.tenant("tenant").await, InstanceId::new());
    let name = hostname("shop");
    fixture.claim(tenant, Name::Hostname(&name), a, 0).await.unwrap();
    for _ in 0..4 {
        let claimed = fixture.claim(tenant, Name::Hostname(&name), a, 7).await.unwrap();
        assert_eq!(claimed.epoch, Epoch(7));
    }
    let other = fixture.claim(tenant, Name::Hostname(&name), InstanceId::new(), 7).await;
    assert!(matches!(other, Err(ClaimError::Replaced)));
}

async fn a_default_name_is_stable(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let other = fixture.tenant("other").await;
    let claim = async |tenant: Tenant, purpose: &str, fresh: [&str; 2]| {
        let fresh = fresh.map(hostname);
        let name = Name::Default { purpose, fresh: &fresh };
        fixture.claim(tenant, name, InstanceId::new(), 0).await.map(|claimed| claimed.hostname)
    };
    assert_eq!(claim(tenant, "k:3000", ["red", "x"]).await.unwrap(), hostname("red"));
    assert_eq!(claim(tenant, "k:3000", ["green", "x"]).await.unwrap(), hostname("red"));
    assert_eq!(
        claim(tenant, "k:4000", ["red", "blue"]).await.unwrap(),
        hostname("blue"),
        "a taken name is passed over"
    );
    assert_eq!(
        claim(other, "k:3000", ["red", "pink"]).await.unwrap(),
        hostname("pink"),
        "purposes are a tenant's own"
    );
    assert!(matches!(claim(other, "k:5000", ["red", "blue"]).await, Err(ClaimError::NotYours)));
    let by_name =
        fixture.claim(tenant, Name::Hostname(&hostname("red")), InstanceId::new(), 0).await.unwrap();
    assert_eq!(by_name.epoch, Epoch(3), "a default name can be asked for by name");
}

async fn one_purpose_at_once_gets_one_name(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let fixture = Arc::new(fixture);
    let mut claims = JoinSet::new();
    for n in 0..16 {
        let fixture = Arc::clone(&fixture);
        claims.spawn(async move {
            let fresh = [hostname(&format!("a{n}")), hostname(&format!("b{n}"))];
            let name = Name::Default { purpose: "k:3000", fresh: &fresh };
            fixture.claim(tenant, name, InstanceId::new(), 0).await.unwrap().hostname
        });
    }
    let mut names = claims.join_all().await;
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
}

async fn the_limit_holds_at_once(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let fixture = Arc::new(fixture);
    let mut claims = JoinSet::new();
    for n in 0..=ENDPOINTS_PER_TENANT_MAX {
        let fixture = Arc::clone(&fixture);
        claims.spawn(async move {
            fixture.claim(tenant, Name::Hostname(&hostname(&format!("n{n}"))), InstanceId::new(), 0).await
        });
    }
    let outcomes = claims.join_all().await;
    let reserved = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(reserved, ENDPOINTS_PER_TENANT_MAX as usize);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(ClaimError::LimitReached))));
    let owned = outcomes.iter().find_map(|outcome| outcome.as_ref().ok()).unwrap();
    let again = fixture.claim(tenant, Name::Hostname(&owned.hostname), InstanceId::new(), 0).await;
    assert!(again.is_ok(), "the limit is on reserving, not on serving");
    let other = fixture.tenant("other").await;
    let theirs = fixture.claim(other, Name::Hostname(&owned.hostname), InstanceId::new(), 0).await;
    assert!(matches!(theirs, Err(ClaimError::NotYours)));
    let free = fixture.claim(other, Name::Hostname(&hostname("free")), InstanceId::new(), 0).await;
    assert!(free.is_ok(), "what failed was not counted, and limits are a tenant's own");
}

async fn a_name_is_reserved_only_with_a_permit(fixture: Fixture) {
    let (tenant, other) = (fixture.tenant("tenant").await, fixture.tenant("other").await);
    let name = hostname("shop");
    let request = request(tenant, &name);
    let endpoints = fixture.store.endpoints();
    let without = endpoints.claim(&bind(tenant.id), None, &request).await;
    assert!(matches!(without, Err(ClaimError::ReserveNotPermitted)));
    assert_eq!(endpoints.kind_of(&name).await.unwrap(), None);
    let wrong = endpoints.claim(&bind(tenant.id), Some(&reserve(other.id)), &request).await;
    assert!(matches!(wrong, Err(ClaimError::Store(_))), "a permit for another tenant");
    endpoints.claim(&bind(tenant.id), Some(&reserve(tenant.id)), &request).await.unwrap();
    assert_eq!(endpoints.kind_of(&name).await.unwrap(), Some(EndpointKind::Http));
    endpoints.claim(&bind(tenant.id), None, &request).await.unwrap();
}

async fn a_key_that_does_not_count_claims_nothing(fixture: Fixture) {
    let name = hostname("shop");
    let claim = async |tenant: Tenant| {
        let claim = fixture.claim(tenant, Name::Hostname(&name), InstanceId::new(), 0).await;
        claim.map_err(|error| matches!(error, ClaimError::KeyNotValid))
    };
    let mut tenant = fixture.tenant("tenant").await;
    assert!(claim(tenant).await.is_ok());
    let other = fixture.tenant("other").await;
    assert_eq!(
        claim(Tenant { id: tenant.id, key: other.key }).await.err(),
        Some(true),
        "another tenant's key"
    );
    fixture.store.api_keys().revoke(&manage(tenant.id), tenant.key, NOW).await.unwrap();
    assert_eq!(claim(tenant).await.err(), Some(true), "revoked");
    tenant.key = fixture.key(tenant.id, Some(NOW)).await;
    assert_eq!(claim(tenant).await.err(), Some(true), "expired");
    tenant.key = fixture.key(tenant.id, Some(NOW.plus(DAY))).await;
    assert!(claim(tenant).await.is_ok());
    fixture.store.tenants().suspend(&manage(tenant.id), NOW).await.unwrap();
    assert_eq!(claim(tenant).await.err(), Some(true), "suspended");
}

async fn release_compares_epochs(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let a = InstanceId::new();
    let claimed = fixture.claim(tenant, Name::Hostname(&hostname("shop")), a, 0).await.unwrap();
    let endpoints = fixture.store.endpoints();
    assert!(!endpoints.release(claimed.id, Epoch(2)).await.unwrap());
    assert!(!endpoints.release(EndpointId::new(), claimed.epoch).await.unwrap());
    assert!(endpoints.release(claimed.id, claimed.epoch).await.unwrap());
    let resumed = fixture.claim(tenant, Name::Hostname(&hostname("shop")), a, 1).await.unwrap();
    assert_eq!(resumed.epoch, claimed.epoch, "who gave back may come back");
}

fn request(tenant: Tenant, name: &adit_domain::Hostname) -> ClaimRequest<'_> {
    ClaimRequest {
        api_key: tenant.key,
        name: Name::Hostname(name),
        kind: EndpointKind::Http,
        ports: None,
        instance: InstanceId::new(),
        prior_epoch: Epoch::NONE,
        pooled: false,
        node: adit_domain::id::NodeId::new(),
        at: NOW,
    }
}
