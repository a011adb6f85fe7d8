//! SQLite: a file, one writer, several readers. Nothing to set up.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::limits::{SQLITE_BUSY_DEADLINE, SQLITE_BUSY_RETRY, SQLITE_READERS_MAX, STATEMENT_DEADLINE};
use crate::{OpenError, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// The pools of one SQLite file.
#[derive(Clone, Debug)]
pub(crate) struct SqliteEngine {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteEngine {
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        create_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on the disk when it is acknowledged. NORMAL may lose the last ones with the power.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(SQLITE_BUSY_DEADLINE);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(STATEMENT_DEADLINE);
        let writer = connect_patiently(writer, &options).await?;
        // Under the write lock, so that several processes may open a fresh file at once.
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
        // `run` is this with a bound that the compiler cannot prove for a borrowed connection.
        MIGRATIONS.run_direct(None, &mut *tx, false).await?;
        tx.commit().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS_MAX)
            .acquire_timeout(STATEMENT_DEADLINE)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self { writer, readers })
    }

    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }

    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // A deferred transaction that turns from reading to writing can fail with SQLITE_BUSY at once.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    #[cfg(test)]
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.writer
    }
}

/// Connects, and again while another process turns the fresh file to WAL: SQLite reports that lock without waiting for
/// it. The caller has a deadline.
async fn connect_patiently(
    pool: SqlitePoolOptions,
    options: &SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(SQLITE_BUSY_RETRY).await,
            outcome => return outcome,
        }
    }
}

/// `SQLITE_BUSY`, whose extended codes have the plain one in their low byte.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// Creates the file for its owner only: it holds signing keys. SQLite gives its -wal and -shm files the same mode.
///
/// A file that is there is not opened: closing it again would drop the locks that this process has on it.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
