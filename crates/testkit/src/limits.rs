//! Every bound of this crate.

use std::time::Duration;

/// How often a condition is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How long a Postgres server may take to start or to stop.
pub const POSTGRES_DEADLINE: Duration = Duration::from_mins(1);

/// Connections that a Postgres server for tests takes.
pub const POSTGRES_CONNECTIONS_MAX: u32 = 300;
