//! One process at a time serves from a database.

use adit_store::{ServerLock, ServerLockError};

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_holds_it_until_it_is_gone() {
    let fixture = Fixture::postgres().await;
    let first = ServerLock::take(&fixture.url).await.unwrap();
    let refused = ServerLock::take(&fixture.url).await.unwrap_err();
    assert!(matches!(&refused, ServerLockError::Taken { holder } if !holder.is_empty()), "{refused}");
    // Another database of the same server is another installation.
    let other = Fixture::postgres().await;
    let _other = ServerLock::take(&other.url).await.unwrap();
    drop(first);
    // The database hears of it a moment later.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while ServerLock::take(&fixture.url).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it is still taken");
        tokio::task::yield_now().await;
    }
}
