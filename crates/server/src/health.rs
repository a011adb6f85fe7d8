//! Whether the upstream behind a member of a pool is there, as far as anyone has seen.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::limits::PROBES_FAILED_MAX;

/// The health of one member. It outlives the member's sessions, as long as one is there.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_down: AtomicBool,
    /// Probes that have failed since the last that did not.
    failed: AtomicU32,
}

impl Health {
    pub(crate) fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Acquire)
    }

    /// Its upstream was not there for a visitor. Returns whether that is news.
    pub(crate) fn fail(&self) -> bool {
        !self.is_down.swap(true, Ordering::AcqRel)
    }

    /// Its upstream was not there for a probe. Returns whether it has been so often enough to be believed.
    pub(crate) fn fail_probe(&self) -> bool {
        self.failed.fetch_add(1, Ordering::AcqRel).saturating_add(1) >= PROBES_FAILED_MAX
    }

    /// Its upstream took a connection.
    pub(crate) fn recover(&self) {
        self.failed.store(0, Ordering::Release);
        self.is_down.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::Health;
    use crate::limits::PROBES_FAILED_MAX;

    #[test]
    fn so_many_failed_probes_in_a_row_are_believed() {
        let health = Health::default();
        for _ in 0..3 {
            for n in 1..=PROBES_FAILED_MAX + 1 {
                assert_eq!(health.fail_probe(), n >= PROBES_FAILED_MAX, "{n}");
            }
            health.recover();
        }
    }

    #[test]
    fn a_visitor_is_believed_at_once_and_it_is_news_once() {
        let health = Health::default();
        assert!(health.is_up() && health.fail() && !health.fail() && !health.is_up());
        health.recover();
        assert!(health.is_up() && health.fail());
    }
}
