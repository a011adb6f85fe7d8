//! Why storage could not do what it was asked.

use thiserror::Error;

/// Storage itself failed; the question was not answered.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot be reached, or it refused the statement.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database did not answer within [`STATEMENT_DEADLINE`](crate::limits::STATEMENT_DEADLINE).
    #[error("the database did not answer in time")]
    Deadline,
    /// A row holds something that this program never writes.
    #[error("the database holds a value that is not valid: {0}")]
    Corrupt(&'static str),
    /// The permit is for another action, or for the installation where a tenant is needed. A mistake in the caller.
    #[error("the permit does not cover this query")]
    Permit,
}
