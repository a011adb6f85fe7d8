//! What was acknowledged survives `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_domain::id::TenantId;
use adit_store::{DatabaseUrl, Store};
use adit_testkit::{ChildGuard, Postgres, until};
use tokio::task::JoinSet;

use crate::fixture::{NOW, installation};

const FILE_VARIABLE: &str = "ADIT_TEST_CRASH_FILE";
const ACKNOWLEDGED: &str = "acknowledged ";

/// Acknowledged rows to wait for before the kill.
const ENOUGH: usize = 50;

#[tokio::test]
async fn sqlite_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adit.db");
    let mut child = ChildGuard::spawn(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writes_until_it_is_killed", "--nocapture"])
            .env(FILE_VARIABLE, &path)
            .stdout(Stdio::piped()),
    )
    .unwrap();
    let mut lines = BufReader::new(child.child().stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = |line: String| -> Option<TenantId> {
        line.split_once(ACKNOWLEDGED).map(|(_, id)| id.parse().unwrap())
    };
    let mut ids: Vec<_> = lines.by_ref().filter_map(acknowledged).take(ENOUGH).collect();
    child.kill().unwrap();
    ids.extend(lines.filter_map(acknowledged));
    assert!(ids.len() >= ENOUGH);
    assert_all_there(&DatabaseUrl::Sqlite(path), &ids).await;
}

/// Not a test of its own: what the child process of the test above does.
#[tokio::test]
async fn writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the test above talks to its child")]
    let Some(path) = std::env::var_os(FILE_VARIABLE) else { return };
    let store = Store::open(&DatabaseUrl::Sqlite(path.into())).await.unwrap();
    loop {
        let id = TenantId::new();
        store.tenants().create(&installation(), id, &id.to_string(), NOW).await.unwrap();
        writeln!(std::io::stdout(), "{ACKNOWLEDGED}{id}").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_what_it_acknowledged() {
    let mut server = Postgres::start().unwrap();
    let url = DatabaseUrl::parse(&server.database().unwrap()).unwrap();
    let store = Store::open(&url).await.unwrap();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
        writers.spawn(async move {
            loop {
                let id = TenantId::new();
                if store.tenants().create(&installation(), id, &id.to_string(), NOW).await.is_err() {
                    return;
                }
                acknowledged.lock().unwrap().push(id);
            }
        });
    }
    let enough = || std::future::ready(acknowledged.lock().unwrap().len() >= ENOUGH);
    until("enough rows", Duration::from_mins(1), enough).await.unwrap();
    server.crash().unwrap();
    writers.shutdown().await;
    server.restart().unwrap();
    let ids = acknowledged.lock().unwrap().clone();
    assert_all_there(&url, &ids).await;
}

async fn assert_all_there(url: &DatabaseUrl, ids: &[TenantId]) {
    let store = Store::open(url).await.unwrap();
    for &id in ids {
        assert!(store.tenants().by_id(&installation(), id).await.unwrap().is_some(), "{id} is lost");
    }
    store.close().await;
}
