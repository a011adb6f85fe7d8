//! Whether the upstream behind a member of a pool is there, as far as anyone has seen.

use std::sync::atomic::{AtomicBool, Ordering};

/// The health of one member. It outlives the member's sessions, as long as one is there.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_down: AtomicBool,
}

impl Health {
    pub(crate) fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Acquire)
    }

    /// Its upstream was not there. Returns whether that is news.
    pub(crate) fn fail(&self) -> bool {
        !self.is_down.swap(true, Ordering::AcqRel)
    }

    /// Its upstream took a connection.
    pub(crate) fn recover(&self) {
        self.is_down.store(false, Ordering::Release);
    }
}
