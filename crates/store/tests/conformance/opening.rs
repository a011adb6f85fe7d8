//! Opening a database: migrations run once, however often and by however many.

use adit_store::{DatabaseUrl, OpenError, RowSecurity, Store};
use adit_testkit::Postgres;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, installation, on_both_engines};

on_both_engines![opening_again_changes_nothing];

async fn opening_again_changes_nothing(fixture: Fixture) {
    let tenant = fixture.tenant("tenant").await;
    let mut opens = JoinSet::new();
    for _ in 0..4 {
        let url = fixture.url.clone();
        opens.spawn(async move { Store::open(&url).await.unwrap() });
    }
    for store in opens.join_all().await {
        assert!(store.tenants().by_id(&installation(), tenant.id).await.unwrap().is_some());
        store.close().await;
    }
}

/// `aditd up` and `aditd admin` may meet a fresh file at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_a_fresh_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut opens = JoinSet::new();
    for _ in 0..4 {
        let url = DatabaseUrl::Sqlite(folder.path().join("adit.db"));
        opens.spawn(async move { Store::open(&url).await.map(drop) });
    }
    for open in opens.join_all().await {
        open.unwrap();
    }
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::sqlite().await;
    fixture.tenant("tenant").await;
    let DatabaseUrl::Sqlite(path) = &fixture.url else { return };
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "it holds signing keys");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = DatabaseUrl::Sqlite(folder.path().join("missing/adit.db"));
    assert!(matches!(Store::open(&missing).await, Err(OpenError::File { .. })));
    let nobody = DatabaseUrl::parse(&format!("postgres:///d?host={}", folder.path().display())).unwrap();
    assert!(matches!(Store::open(&nobody).await, Err(OpenError::Connect(_))));
    let noise = folder.path().join("noise");
    std::fs::write(&noise, "this is not a database, and long enough to be looked at".repeat(100)).unwrap();
    assert!(Store::open(&DatabaseUrl::Sqlite(noise)).await.is_err());
}

#[tokio::test]
async fn a_role_that_passes_over_row_security_is_found() {
    let server = Postgres::shared().unwrap();
    let owner = Store::open(&DatabaseUrl::parse(&server.database().unwrap()).unwrap()).await.unwrap();
    assert_eq!(owner.row_security().await.unwrap(), RowSecurity::InForce);
    let superuser = DatabaseUrl::parse(&server.superusers_database().unwrap()).unwrap();
    let superuser = Store::open(&superuser).await.unwrap();
    assert_eq!(superuser.row_security().await.unwrap(), RowSecurity::PassedOver);
    let sqlite = Fixture::sqlite().await;
    assert_eq!(sqlite.store.row_security().await.unwrap(), RowSecurity::None);
}
