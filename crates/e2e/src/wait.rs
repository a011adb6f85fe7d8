//! Waiting on conditions, never on time.

use std::time::Duration;

use anyhow::{Context as _, Result};

pub use adit_testkit::until;

/// The outcome of `future`, or an error that says `what` did not happen in time.
pub async fn within<F: Future>(what: &str, deadline: Duration, future: F) -> Result<F::Output> {
    tokio::time::timeout(deadline, future).await.with_context(|| format!("not within {deadline:?}: {what}"))
}
