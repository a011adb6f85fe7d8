//! Every bound of this crate.

use std::time::Duration;

/// How often a condition is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How long a Postgres server may take to start or to stop.
pub const POSTGRES_DEADLINE: Duration = Duration::from_mins(1);

/// Connections that a Postgres server for tests takes.
pub const POSTGRES_CONNECTIONS_MAX: u32 = 300;

/// How long a hostile agent may take until its session has ended: longer than a connection may take none of the bytes
/// that wait for it.
pub const TRAP_DEADLINE: Duration = Duration::from_secs(90);

/// Streams of the node that a hostile agent answers.
pub const TRAP_STREAMS: usize = 20;

/// What it says to what it reads, until it can write that.
pub const TRAP_ANSWERS_QUEUED: usize = 1_024;

/// What it writes at once.
pub const TRAP_BYTES_AT_ONCE: usize = 4 * 1024;

/// What may be taken of one that reads nothing: less than this are the buffers of both sockets, with the largest windows that
/// systems have.
pub const TRAP_UNREAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What each direction of a connection in memory holds, as a socket would.
pub const WIRE_BYTES: usize = 64 * 1024;

/// Connections in memory that wait to be accepted.
pub const WIRES_WAITING_MAX: usize = 64;

/// How much later than it is due a timer may ring: they are no finer.
pub const TIMER_COARSE: Duration = Duration::from_millis(5);
