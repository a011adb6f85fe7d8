//! The operator's work.

use adit_control_plane::AdminError;
use adit_control_plane::limits::NAME_BYTES_MAX;
use adit_domain::id::{ApiKeyId, CapabilityId};
use adit_store::{DatabaseUrl, Revocation};

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
