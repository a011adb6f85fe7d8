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

    /// Whether a flush waits now.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_with.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Gather;
    use crate::limits::{GATHER_PROBE_ROUNDS, TLS_RECORD_BYTES};

    #[test]
    fn a_lone_write_waits_now_and_then_only() {
        let mut gather = Gather::default();
        for round in 1..=2 * GATHER_PROBE_ROUNDS {
            let is_due = round.is_multiple_of(GATHER_PROBE_ROUNDS);
            assert_eq!(gather.waits(100), is_due, "{round}");
            if is_due {
                assert!(!gather.waits(100), "once only, and in vain");
            }
        }
    }

    #[test]
    fn it_goes_on_waiting_for_as_long_as_that_pays() {
        let mut gather = Gather { has_paid: true, ..Gather::default() };
        for gathered in [101, 200, 101] {
            assert!(gather.waits(100));
            assert!(!gather.waits(gathered), "never twice for the same bytes");
        }
        assert!(gather.waits(100) && !gather.waits(100));
        assert!(!gather.waits(100), "nobody else wrote");
    }

    #[test]
    fn a_full_record_waits_for_nobody() {
        for (bytes, waits) in [
            (0, false),
            (1, true),
            (TLS_RECORD_BYTES - 1, true),
            (TLS_RECORD_BYTES, false),
            (TLS_RECORD_BYTES + 1, false),
        ] {
            let mut gather = Gather { has_paid: true, ..Gather::default() };
            assert_eq!(gather.waits(bytes), waits, "{bytes}");
        }
    }
}
