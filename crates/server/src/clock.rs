//! The wall clock as an argument.

use std::sync::Arc;

use adit_domain::Timestamp;

/// Tells the wall-clock time.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The wall clock of this machine.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::from_micros(adit_process::clock::wall_micros())
}
