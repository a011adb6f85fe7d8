//! A database of its own for one test that asks for Postgres.

use std::sync::Arc;

use adit_testkit::Postgres;
use anyhow::{Context as _, Result};

/// An empty Postgres database, and the server that holds it.
#[derive(Debug)]
pub struct Database {
    url: String,
    _server: Arc<Postgres>,
}

impl Database {
    /// Creates one.
    pub async fn create() -> Result<Self> {
        let created = tokio::task::spawn_blocking(|| {
            let server = Postgres::shared()?;
            anyhow::Ok(Self { url: server.database()?, _server: server })
        });
        created.await.context("creating a database panicked")?
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
