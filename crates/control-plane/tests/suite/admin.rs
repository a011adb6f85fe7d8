//! The operator's work.

use std::time::Duration;

use adit_authority::{Change, Directory, Sequence};
use adit_control_plane::AdminError;
use adit_control_plane::limits::NAME_BYTES_MAX;
use adit_domain::Epoch;
use adit_domain::id::{ApiKeyId, CapabilityId};
use adit_store::{DatabaseUrl, Revocation};

use crate::authority::exact;
use crate::fixture::{Fixture, HOUR};

#[tokio::test]
async fn names_are_checked() {
    let fixture = Fixture::new().await;
    let long = |bytes| "n".repeat(bytes);
    for (name, fits) in [
        (String::new(), false),
        (" ".into(), false),
        ("a ".into(), false),
        ("a\nb".into(), false),
        ("a\u{1b}[31m".into(), false),
        ("Ærøskøbing & Co.".into(), true),
        (long(NAME_BYTES_MAX - 1), true),
        (long(NAME_BYTES_MAX), true),
        (long(NAME_BYTES_MAX + 1), false),
    ] {
        let tenant = fixture.admin.create_tenant(&name).await;
        assert_eq!(!matches!(tenant, Err(AdminError::NameInvalid)), fits, "tenant {name:?}");
        let key = fixture.admin.create_api_key("acme", &name, None).await;
        assert_eq!(!matches!(key, Err(AdminError::NameInvalid)), fits, "key {name:?}");
    }
    assert!(
        matches!(fixture.admin.create_tenant("acme").await, Err(AdminError::NameTaken(name)) if name == "acme")
    );
    let nobody = fixture.admin.create_api_key("nobody", "laptop", None).await;
    assert!(matches!(nobody, Err(AdminError::TenantUnknown(name)) if name == "nobody"));
}

#[tokio::test]
async fn keys_are_listed_without_themselves() {
    let fixture = Fixture::new().await;
    let first = fixture.key().await;
    let second = fixture.admin.create_api_key("acme", "ci", Some(HOUR)).await.unwrap();
    let keys = fixture.admin.api_keys("acme").await.unwrap();
    assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!((keys[0].name.as_str(), keys[0].expires_at), ("ci", Some(fixture.now().plus(HOUR))));
    assert_eq!(keys[1].hint, first.key.last4());
    let shown = format!("{keys:?} {first:?}");
    assert!(!shown.contains(first.key.expose()));
}

#[tokio::test]
async fn the_key_itself_is_not_kept() {
    let fixture = Fixture::new().await;
    let created = fixture.key().await;
    fixture.capability(&created.key).await;
    fixture.store.close().await;
    let DatabaseUrl::Sqlite(path) = &fixture.url else { panic!("a file") };
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = created.key.expose().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[tokio::test]
async fn revoking_says_what_became_of_it() {
    let fixture = Fixture::new().await;
    let created = fixture.key().await;
    let capability = fixture.capability(&created.key).await;
    let admin = &fixture.admin;
    assert_eq!(admin.revoke_capability(capability.id).await.unwrap(), Revocation::Revoked);
    assert_eq!(admin.revoke_capability(capability.id).await.unwrap(), Revocation::AlreadyRevoked);
    assert_eq!(admin.revoke_capability(CapabilityId::new()).await.unwrap(), Revocation::Unknown);
    assert_eq!(admin.revoke_api_key(created.id).await.unwrap(), Revocation::Revoked);
    assert_eq!(admin.revoke_api_key(created.id).await.unwrap(), Revocation::AlreadyRevoked);
    assert_eq!(admin.revoke_api_key(ApiKeyId::new()).await.unwrap(), Revocation::Unknown);
    assert_eq!(admin.capabilities("acme").await.unwrap()[0].revoked_at, Some(fixture.now()));
    assert_eq!(admin.api_keys("acme").await.unwrap()[0].revoked_at, Some(fixture.now()));
}

#[tokio::test]
async fn endpoints_are_listed_and_removed_and_nodes_hear_of_it() {
    let fixture = Fixture::new().await;
    let capability = fixture.capability(&fixture.key().await.key).await;
    let claimed = fixture.control_plane.claim(exact(&capability, "shop.example.com")).await.unwrap();
    fixture.admin.create_tenant("other").await.unwrap();
    let of = async |tenant| {
        let all = fixture.admin.endpoints(tenant).await.unwrap();
        let names = all.into_iter().flat_map(|of| of.endpoints.into_iter().map(|endpoint| endpoint.hostname));
        names.collect::<Vec<_>>()
    };
    assert_eq!(of(None).await, ["shop.example.com"]);
    assert_eq!(of(Some("acme")).await, ["shop.example.com"]);
    assert_eq!(of(Some("other")).await, <[&str; 0]>::default());
    for unknown in ["other.example.com", "shop", "not a name"] {
        let removed = fixture.admin.remove_endpoint(unknown).await;
        assert!(matches!(removed, Err(AdminError::EndpointUnknown(name)) if name == unknown));
    }
    let nobody = fixture.admin.endpoints(Some("nobody")).await;
    assert!(matches!(nobody, Err(AdminError::TenantUnknown(_))));

    let before = fixture.control_plane.changes(Sequence::START, Duration::ZERO).await.unwrap().next;
    fixture.admin.remove_endpoint("shop.example.com").await.unwrap();
    assert_eq!(of(None).await, <[&str; 0]>::default());
    let changes = fixture.control_plane.changes(before, Duration::ZERO).await.unwrap().changes;
    let epoch = Epoch(claimed.epoch.0 + 1);
    assert_eq!(changes, [Change::EndpointRemoved { endpoint: claimed.endpoint, epoch }]);
}
