//! When a flush waits for others who are about to write.

use crate::limits::{GATHER_PROBE_ROUNDS, TLS_RECORD_BYTES};

/// A busy connection wakes its driver after the first of many small writes: the tasks of the other streams are still
/// queued behind it. A flush that waits for them once makes one TLS record and one system call of what would be many, and a
/// lone request must not pay for that. So it waits where waiting has paid the last time, and tries again now and then.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// What there was to send when the flush began to wait.
    waiting_with: Option<usize>,
    has_paid: bool,
    rounds: u32,
}

impl Gather {
    /// Whether a flush of so many bytes waits until the tasks that are ready now have run.
    pub(crate) fn waits(&mut self, unsent_bytes: usize) -> bool {
        if let Some(before) = self.waiting_with.take() {
            self.has_paid = unsent_bytes > before;
            return false;
        }
        if unsent_bytes == 0 || unsent_bytes >= TLS_RECORD_BYTES {
            return false;
        }
        self.rounds = self.rounds.wrapping_add(1);
        if !self.has_paid && !self.rounds.is_multiple_of(GATHER_PROBE_ROUNDS) {
            return false;
        }
        self.waiting_with = Some(unsent_bytes);
        true
    }
}
