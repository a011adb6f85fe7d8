//! All SQL of Adit, on two engines: SQLite (the embedded default) and Postgres.
//!
//! One handle per aggregate: [`Store::tenants`], [`Store::api_keys`] and so on. Every query of a tenant's data takes a
//! [`Permit`](adit_domain::access::Permit) and sees that tenant only; the few that cannot are listed in one place, the
//! `scope` module. Times and ids are arguments, so nothing here reads a clock. See
//! `docs/design/2026-11-21-two-engines.md`.
#![forbid(unsafe_code)]

mod api_keys;
mod capabilities;
mod changes;
mod endpoints;
mod engine;
mod error;
pub mod limits;
mod ports;
mod scope;
mod server_lock;
mod signing_keys;
mod silence;
mod statement;
mod tenants;
#[cfg(test)]
mod tests;
mod url;
mod usage;

use std::path::PathBuf;

pub use api_keys::{ApiKeyRecord, ApiKeys, KeyOwner, NewApiKey};
pub use capabilities::{Capabilities, CapabilityRecord, IssueError, Issued, NewCapability, Renewal};
pub use changes::{ChangeRecord, Changes, Event};
pub use endpoints::inventory::EndpointRecord;
pub use endpoints::{ClaimError, ClaimRequest, ClaimedEndpoint, Endpoints, Name};
pub use error::StoreError;
pub use ports::{PortError, PortOffer};
pub use server_lock::{ServerLock, ServerLockError};
pub use signing_keys::{NewSigningKey, SigningKey, SigningKeys};
pub use tenants::{CreateTenantError, Tenant, Tenants};
pub use url::{DatabaseUrl, DatabaseUrlError};
pub use usage::{Reported, Usage, UsageRecord};

use engine::{Engine, PostgresEngine, SqliteEngine};
use limits::OPEN_DEADLINE;

/// An open database, migrated to the newest schema. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Engine,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The SQLite file cannot be created or opened.
    #[error("cannot open {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The database cannot be reached.
    #[error("cannot connect to the database")]
    Connect(#[from] sqlx::Error),
    /// A migration failed, or the database is newer than this program.
    #[error("cannot bring the database to this program's schema")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// It took longer than [`OPEN_DEADLINE`].
    #[error("the database did not open in time")]
    Deadline,
}

/// Whether the database itself keeps tenants apart, besides the statements that this crate runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSecurity {
    /// It does.
    InForce,
    /// It would, but the role that is used passes over it.
    PassedOver,
    /// It has no such rule.
    None,
}

/// What became of a request to revoke something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked from now on.
    Revoked,
    /// It was revoked before; nothing changed.
    AlreadyRevoked,
    /// The tenant has no such thing.
    Unknown,
}

impl Store {
    /// Opens the database, creating the SQLite file if there is none, and runs the migrations that are missing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let open = async {
            Ok(match url {
                DatabaseUrl::Sqlite(path) => Engine::Sqlite(SqliteEngine::open(path).await?),
                DatabaseUrl::Postgres(url) => {
                    Engine::Postgres(silence::told(PostgresEngine::open(url.expose())).await?)
                }
            })
        };
        let engine = tokio::time::timeout(OPEN_DEADLINE, open).await.unwrap_or(Err(OpenError::Deadline))?;
        Ok(Self { engine })
    }

    /// Tenants.
    #[must_use]
    pub const fn tenants(&self) -> Tenants<'_> {
        Tenants { engine: &self.engine }
    }

    /// API keys.
    #[must_use]
    pub const fn api_keys(&self) -> ApiKeys<'_> {
        ApiKeys { engine: &self.engine }
    }

    /// Capabilities that were handed out.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities<'_> {
        Capabilities { engine: &self.engine }
    }

    /// Endpoints and who holds them.
    #[must_use]
    pub const fn endpoints(&self) -> Endpoints<'_> {
        Endpoints { engine: &self.engine }
    }

    /// The keys that sign capabilities.
    #[must_use]
    pub const fn signing_keys(&self) -> SigningKeys<'_> {
        SigningKeys { engine: &self.engine }
    }

    /// The change feed that nodes follow.
    #[must_use]
    pub const fn changes(&self) -> Changes<'_> {
        Changes { engine: &self.engine }
    }

    /// What endpoints carried.
    #[must_use]
    pub const fn usage(&self) -> Usage<'_> {
        Usage { engine: &self.engine }
    }

    /// Whether the database repeats the rule that a tenant sees its own rows only. Postgres does by row-level security, which
    /// does not count for superusers and roles with BYPASSRLS; SQLite has nothing of the kind and needs no warning.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn row_security(&self) -> Result<RowSecurity, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(RowSecurity::None),
            Engine::Postgres(engine) => engine.row_security().await,
        }
    }

    /// Closes the database once the statements that run have ended.
    pub async fn close(&self) {
        self.engine.close().await;
    }
}
