//! The bounds of this crate.

use std::time::Duration;

/// How long [`Tasks::join_all`](crate::tasks::Tasks::join_all) waits after aborting what remained. An aborted task
/// ends at its next await, so a task that is still there after this blocks a thread, and is reported as stuck.
pub const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Longest part of a panic's message that is kept for the log, in bytes.
pub const PANIC_MESSAGE_BYTES_MAX: usize = 1024;
