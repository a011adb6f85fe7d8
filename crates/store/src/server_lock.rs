//! The right to be the one process that serves from a database.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;

use crate::DatabaseUrl;
use crate::limits::{SERVER_LOCK_KEEPALIVE_SECS, STATEMENT_DEADLINE};
use crate::silence;

/// Two numbers that mean nothing else in this database: `ADIT` and 1.
const KEY: [i32; 2] = [0x4144_4954, 1];
const TAKE: &str = "SELECT pg_try_advisory_lock($1, $2)";
const HOLDER: &str = "SELECT COALESCE(host(a.client_addr), 'the database''s own machine')
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = $1 AND l.objid::bigint = $2 LIMIT 1";

/// Held by a process while it lets agents and visitors in. Dropped, or dead, it leaves the right to the next one.
///
/// On Postgres an advisory lock on a connection of its own. A SQLite file is guarded by the folder that it is in.
#[derive(Debug)]
pub struct ServerLock {
    _connection: Option<PgConnection>,
}

/// Why a process may not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerLockError {
    /// Another process does.
    #[error("another aditd serves from this database, connected from {holder}")]
    Taken {
        /// The address from which it is connected.
        holder: String,
    },
    /// The database cannot be asked.
    #[error("cannot connect to the database")]
    Connect(#[from] sqlx::Error),
    /// It did not answer in time.
    #[error("the database did not answer in time")]
    Deadline,
}

impl ServerLock {
    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// See [`ServerLockError`].
    pub async fn take(url: &DatabaseUrl) -> Result<Self, ServerLockError> {
        match url {
            DatabaseUrl::Sqlite(_) => Ok(Self { _connection: None }),
            DatabaseUrl::Postgres(url) => {
                let taken = timeout(STATEMENT_DEADLINE, take(url.expose()));
                silence::told(taken).await.unwrap_or(Err(ServerLockError::Deadline))
            }
        }
    }
}

async fn take(url: &str) -> Result<ServerLock, ServerLockError> {
    let keepalive = SERVER_LOCK_KEEPALIVE_SECS.to_string();
    // A machine that is gone says nothing: the database finds out by asking it.
    let options = PgConnectOptions::from_str(url)?.application_name("adit server lock").options([
        ("tcp_keepalives_idle", keepalive.as_str()),
        ("tcp_keepalives_interval", keepalive.as_str()),
        ("tcp_keepalives_count", "3"),
    ]);
    let mut connection = options.connect().await?;
    let [first, second] = KEY;
    let is_taken: bool = sqlx::query_scalar(TAKE).bind(first).bind(second).fetch_one(&mut connection).await?;
    if is_taken {
        return Ok(ServerLock { _connection: Some(connection) });
    }
    let holder: Option<String> = sqlx::query_scalar(HOLDER)
        .bind(i64::from(first))
        .bind(i64::from(second))
        .fetch_optional(&mut connection)
        .await?;
    Err(ServerLockError::Taken {
        holder: holder.unwrap_or_else(|| "an address that it does not tell".to_owned()),
    })
}
