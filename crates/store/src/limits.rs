//! Every bound of this crate.

use std::time::Duration;

/// Endpoints that one tenant may have.
pub const ENDPOINTS_PER_TENANT_MAX: u32 = 100;

/// Public ports that one tenant may have: they are few, and every tenant of an installation shares them.
pub const PORTS_PER_TENANT_MAX: u32 = 16;

/// How often a port is looked for when another tenant was faster with the one that was found.
pub const PORT_ROUNDS: u32 = 4;

/// Rows that a listing returns at most, the newest first.
pub const LIST_ROWS_MAX: u32 = 1000;

/// Changes that one read of the feed returns at most.
pub const CHANGES_PAGE_MAX: u32 = 1000;

/// The highest epoch that a claim may start from. It leaves 2^62 claims before a signed 64-bit number is full.
pub const EPOCH_MAX: u64 = 1 << 62;

/// How long one statement, or the wait for a connection, may take.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(10);

/// How long opening the database and running its migrations may take.
pub const OPEN_DEADLINE: Duration = Duration::from_mins(1);

/// How long SQLite waits for the lock of another process.
pub const SQLITE_BUSY_DEADLINE: Duration = Duration::from_secs(5);

/// How long to wait before asking again for a lock that SQLite does not wait for.
pub const SQLITE_BUSY_RETRY: Duration = Duration::from_millis(10);

/// Connections that read from a SQLite file; one more writes.
pub const SQLITE_READERS_MAX: u32 = 4;

/// How long Postgres lets the connection that holds the server's lock be silent before it asks whether that is still there,
/// and between two questions, in seconds. After three without an answer the lock is free.
pub const SERVER_LOCK_KEEPALIVE_SECS: u32 = 10;

/// Connections to Postgres.
pub const POSTGRES_CONNECTIONS_MAX: u32 = 16;

/// How long a database may be silent before the log says that it is waited for.
pub const SILENCE_TOLD_AFTER: Duration = Duration::from_secs(1);
