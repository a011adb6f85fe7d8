//! How much the loads carry, how long they take and how long anything may take.

use std::time::Duration;

/// From the start of a system to the first answer that comes through it.
pub const READY_WITHIN: Duration = Duration::from_mins(1);

/// One attempt of an answer while a system starts.
pub const ATTEMPT_WITHIN: Duration = Duration::from_secs(3);

/// How often a condition that nobody announces is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A program that was asked to end is killed after this time.
pub const END_WITHIN: Duration = Duration::from_secs(5);

/// Last lines of a log that are shown when its program fails.
pub const LINES_OF_LOG_MAX: usize = 12;

/// Connection set-up of a visitor, TLS included.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// One small request. Slower ones are errors, and count with this time in percentiles.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(8);

/// One whole transfer.
pub const TRANSFER_WITHIN: Duration = Duration::from_secs(90);

/// Longest response head that is read, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes that one read of a body asks for.
pub const READ_BYTES: usize = 256 * 1024;

/// Read buffer under TLS for bulk: rustls by itself reads 4 KiB per system call, and a slow client would hide what is
/// measured.
pub const BULK_BUFFER_BYTES: usize = 64 * 1024;

/// The same for small answers.
pub const SMALL_BUFFER_BYTES: usize = 8 * 1024;

/// The kernel's receive buffer of a reader that stops: small, so that a thousand of them fill the system that is
/// measured, not the kernel's memory for sockets.
pub const STALLED_RECEIVE_BYTES: u32 = 64 * 1024;

/// Open files that a run needs: a thousand visitors, and what stands behind them.
pub const DESCRIPTORS: u64 = 16_384;

/// CPU that others took during a measurement, in percent of the machine, above which its times are dropped.
pub const FOREIGN_PERCENT_MAX: f64 = 4.0;

/// Bandwidth of the far link, in bytes per second: 1 Gbit/s.
pub const FAR_BYTES_PER_SECOND: u64 = 125_000_000;

/// Bytes that the far link takes at once.
pub const FAR_CHUNK_BYTES: usize = 64 * 1024;

/// Pieces under way in one direction of a far link. The bytes are bounded apart; small pieces must not fill it before.
pub const FAR_CHUNKS_MAX: usize = 8192;

/// Between two looks at memory while something grows.
pub const MEMORY_LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks in a row between which nothing may have moved for a thing to count as settled.
pub const SETTLED_LOOKS: u32 = 4;

/// A download beside readers that stall: alone it takes a second.
pub const HEALTHY_WITHIN: Duration = Duration::from_secs(20);

/// What does not settle within this time is measured as it is.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// Agents of one tenant. A tenant may have a hundred endpoints.
pub const AGENTS_PER_TENANT: usize = 50;

/// From one request or connection of a flood to the next, of all its visitors together: a thousand in a second, ten times
/// what the plan of the flooded tenant allows.
pub const FLOOD_EVERY: Duration = Duration::from_millis(1);

/// Visitors that make a flood together.
pub const FLOOD_VISITORS: u32 = 50;

/// Connections that one of them holds: together ten times what that plan allows.
pub const FLOOD_VISITORS_HELD_MAX: usize = 100;

/// Agents that start at once.
pub const AGENTS_STARTING_MAX: usize = 20;

/// How long one such batch may take until all are connected.
pub const AGENTS_READY_WITHIN: Duration = Duration::from_secs(90);
