//! Postgres, with the tenant rule repeated by row-level security.

use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, Postgres, Transaction};
use tokio::time::timeout;

use crate::limits::{POSTGRES_CONNECTIONS_MAX, STATEMENT_DEADLINE};
use crate::scope::Scope;
use crate::{OpenError, RowSecurity, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Names the scope of a transaction to the policies of migration 1. It ends with the transaction.
const SET_SCOPE: &str = "SELECT set_config('adit.scope', $1, true)";

/// What the policies take for every tenant's rows.
const EVERYTHING: &str = "system";

/// Whether policies are nothing to the role that is connected.
const PASSES_OVER: &str = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";

/// The pool of one Postgres database.
#[derive(Clone, Debug)]
pub(crate) struct PostgresEngine {
    pool: PgPool,
}

impl PostgresEngine {
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        let millis = STATEMENT_DEADLINE.as_millis().to_string();
        let options = PgConnectOptions::from_str(url)?.application_name("adit").options([
            ("statement_timeout", millis.as_str()),
            ("idle_in_transaction_session_timeout", millis.as_str()),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(STATEMENT_DEADLINE)
            .connect_with(options.clone())
            .await;
        let pool = match pool {
            // A refused connection is tried again until the time is over; why it was refused is then forgotten.
            Err(sqlx::Error::PoolTimedOut) => return Err(why_not(&options).await),
            pool => pool?,
        };
        MIGRATIONS.run(&pool).await?;
        Ok(Self { pool })
    }

    pub(crate) async fn begin(&self, scope: Scope) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let scope = match scope {
            Scope::Tenant(tenant) => tenant.to_string(),
            Scope::Everything(_) => EVERYTHING.to_owned(),
        };
        sqlx::query(SET_SCOPE).bind(scope).execute(&mut *tx).await?;
        Ok(tx)
    }

    pub(crate) async fn row_security(&self) -> Result<RowSecurity, StoreError> {
        let asked = sqlx::query_scalar(PASSES_OVER).fetch_one(&self.pool);
        let passes_over: bool = super::in_time(async { Ok(asked.await?) }).await?;
        Ok(if passes_over { RowSecurity::PassedOver } else { RowSecurity::InForce })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    #[cfg(test)]
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Why a server does not let us in, from one more try.
async fn why_not(options: &PgConnectOptions) -> OpenError {
    match timeout(STATEMENT_DEADLINE, options.connect()).await {
        Ok(Err(error)) => error.into(),
        Ok(Ok(_)) => sqlx::Error::PoolTimedOut.into(),
        Err(_) => OpenError::Deadline,
    }
}
