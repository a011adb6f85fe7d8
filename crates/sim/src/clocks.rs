//! Wall clocks that jump. They run with the simulated time, not with the machine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use adit_domain::Timestamp;

/// When every simulation begins: 2027-01-15.
const BEGINNING_MICROS: i64 = 1_800_000_000_000_000;

/// The wall clock of one machine. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    ahead_micros: Arc<AtomicI64>,
}

impl WallClock {
    /// What it shows. Inside the simulation only.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        let elapsed = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(BEGINNING_MICROS + elapsed + self.ahead_micros.load(Ordering::Relaxed))
    }

    /// Sets it this far ahead of the truth, or behind.
    pub(crate) fn set_ahead(&self, seconds: i64) {
        self.ahead_micros.store(seconds * 1_000_000, Ordering::Relaxed);
    }
}
