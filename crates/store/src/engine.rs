//! The two engines behind one interface: transactions that run [`Statement`]s.

mod postgres;
mod sqlite;

use std::future::Future;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Database, Encode, FromRow, Sqlite, Type};
use sqlx::{Postgres, query::Query};
use uuid::Uuid;

pub(crate) use postgres::PostgresEngine;
pub(crate) use sqlite::SqliteEngine;

use crate::StoreError;
use crate::limits::STATEMENT_DEADLINE;
use crate::scope::Scope;
use crate::statement::{Statement, Value};

/// A database of one of the two kinds.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite(SqliteEngine),
    Postgres(PostgresEngine),
}

/// A row type that reads from both engines.
pub(crate) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl Engine {
    /// A transaction that only reads.
    pub(crate) async fn read(&self, scope: Scope) -> Result<Transaction, StoreError> {
        note(scope);
        in_time(async {
            match self {
                Self::Sqlite(engine) => engine.read().await.map(Transaction::Sqlite),
                Self::Postgres(engine) => engine.begin(scope).await.map(Transaction::Postgres),
            }
        })
        .await
    }

    /// A transaction that writes; on SQLite it holds the one write lock from its start. Dropped, it is undone.
    pub(crate) async fn write(&self, scope: Scope) -> Result<Transaction, StoreError> {
        note(scope);
        in_time(async {
            match self {
                Self::Sqlite(engine) => engine.write().await.map(Transaction::Sqlite),
                Self::Postgres(engine) => engine.begin(scope).await.map(Transaction::Postgres),
            }
        })
        .await
    }

    /// Closes all connections, after the statements that run.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(engine) => engine.close().await,
            Self::Postgres(engine) => engine.close().await,
        }
    }
}

/// An open transaction on either engine.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    /// Runs a statement and says how many rows it changed.
    pub(crate) async fn execute<const N: usize>(
        &mut self,
        statement: Statement<N>,
        values: [Value; N],
    ) -> Result<u64, StoreError> {
        in_time(async {
            Ok(match self {
                Self::Sqlite(tx) => bound(statement, values).execute(&mut **tx).await?.rows_affected(),
                Self::Postgres(tx) => bound(statement, values).execute(&mut **tx).await?.rows_affected(),
            })
        })
        .await
    }

    /// Runs a statement that returns at most one row.
    pub(crate) async fn optional<R: Record, const N: usize>(
        &mut self,
        statement: Statement<N>,
        values: [Value; N],
    ) -> Result<Option<R>, StoreError> {
        in_time(async {
            Ok(match self {
                Self::Sqlite(tx) => {
                    let row = bound(statement, values).fetch_optional(&mut **tx).await?;
                    row.as_ref().map(R::from_row).transpose()?
                }
                Self::Postgres(tx) => {
                    let row = bound(statement, values).fetch_optional(&mut **tx).await?;
                    row.as_ref().map(R::from_row).transpose()?
                }
            })
        })
        .await
    }

    /// Runs a statement and returns its rows. Its text has a LIMIT.
    pub(crate) async fn all<R: Record, const N: usize>(
        &mut self,
        statement: Statement<N>,
        values: [Value; N],
    ) -> Result<Vec<R>, StoreError> {
        in_time(async {
            Ok(match self {
                Self::Sqlite(tx) => {
                    let rows = bound(statement, values).fetch_all(&mut **tx).await?;
                    rows.iter().map(R::from_row).collect::<Result<_, _>>()?
                }
                Self::Postgres(tx) => {
                    let rows = bound(statement, values).fetch_all(&mut **tx).await?;
                    rows.iter().map(R::from_row).collect::<Result<_, _>>()?
                }
            })
        })
        .await
    }

    /// Makes everything durable. What this acknowledges survives a crash of the process and of the machine.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        in_time(async {
            match self {
                Self::Sqlite(tx) => tx.commit().await?,
                Self::Postgres(tx) => tx.commit().await?,
            }
            Ok(())
        })
        .await
    }
}

fn bound<'q, DB, const N: usize>(
    statement: Statement<N>,
    values: [Value; N],
) -> Query<'q, DB, <DB as Database>::Arguments>
where
    DB: Database,
    Option<Uuid>: Encode<'q, DB> + Type<DB>,
    Option<i64>: Encode<'q, DB> + Type<DB>,
    Option<String>: Encode<'q, DB> + Type<DB>,
    Vec<u8>: Encode<'q, DB> + Type<DB>,
{
    values.into_iter().fold(sqlx::query(statement.sql), |query, value| match value {
        Value::Id(id) => query.bind(id),
        Value::Int(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    })
}

fn note(scope: Scope) {
    if let Scope::Everything(reason) = scope {
        tracing::trace!(?reason, "a query that no tenant's permit covers");
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STATEMENT_DEADLINE, work).await.unwrap_or(Err(StoreError::Deadline))
}
