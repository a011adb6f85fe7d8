//! The bounds of this crate.

use std::time::Duration;

/// How long [`Tasks::join_all`](crate::tasks::Tasks::join_all) waits after aborting what remained. An aborted task
/// ends at its next await, so a task that is still there after this blocks a thread, and is reported as stuck.
pub const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Longest part of a panic's message that is kept for the log, in bytes.
pub const PANIC_MESSAGE_BYTES_MAX: usize = 1024;

/// Lines of the log that wait to be written. Further ones are lost, and counted.
pub const LOG_LINES_MAX: usize = 1_024;

/// Longest line of the log, in bytes; longer ones are lost.
pub const LOG_LINE_BYTES_MAX: usize = 64 * 1024;

/// How long the end of a program waits for its log to be written.
pub const LOG_FLUSH: Duration = Duration::from_secs(1);

/// How often it looks whether there is room to ask for that.
pub const LOG_FLUSH_LOOK: Duration = Duration::from_millis(5);
