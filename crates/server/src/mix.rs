//! What a session carries: small exchanges, whose bytes share records and system calls, or bulky ones, of which each has use
//! for a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{BULKY_BYTES, SMALL_IN_A_ROW, SMALL_TOGETHER};

/// What the exchanges on one session have been like lately.
#[derive(Debug, Default)]
pub(crate) struct Mix {
    /// Exchanges in flight that have moved more than [`BULKY_BYTES`].
    bulky: AtomicUsize,
    small_in_a_row: AtomicUsize,
    /// Streams that are idle upstream connections, of whichever endpoint.
    idle: AtomicUsize,
}

impl Mix {
    /// One endpoint has `now` idle connections, where it had `before`.
    pub(crate) fn idles(&self, before: usize, now: usize) {
        // Modulo the width of the number, as atomics count: fewer is a large number more.
        self.idle.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Of so many open streams, those that carry something.
    pub(crate) fn busy(&self, open: usize) -> usize {
        open.saturating_sub(self.idle.load(Ordering::Relaxed))
    }

    /// What so many busy streams weigh. Where lately all exchanges were small, [`SMALL_TOGETHER`] of them are as good as one:
    /// fewer connections with more to say each cost less than many with little.
    pub(crate) fn weigh(&self, busy: usize) -> usize {
        if self.small_in_a_row.load(Ordering::Relaxed) < SMALL_IN_A_ROW {
            return busy;
        }
        let bulky = self.bulky.load(Ordering::Relaxed).min(busy);
        bulky.saturating_add(busy.saturating_sub(bulky) / SMALL_TOGETHER)
    }
}

/// The exchange that is under way on one stream, if there is one.
#[derive(Debug)]
pub(crate) struct Passing {
    mix: Arc<Mix>,
    bytes: AtomicUsize,
}

impl Passing {
    pub(crate) fn new(mix: Arc<Mix>) -> Self {
        Self { mix, bytes: AtomicUsize::new(0) }
    }

    /// Of a connection that is carried as it is: nobody knows what it will move, so it weighs in full from its start.
    pub(crate) fn in_full(mix: Arc<Mix>) -> Self {
        mix.bulky.fetch_add(1, Ordering::Relaxed);
        Self { mix, bytes: AtomicUsize::new(BULKY_BYTES + 1) }
    }

    /// The same of the connection that this exchange turns into.
    pub(crate) fn carried(&self) -> Self {
        Self::in_full(Arc::clone(&self.mix))
    }

    /// So many bytes more have passed, this way or that.
    pub(crate) fn pass(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before <= BULKY_BYTES && before.saturating_add(bytes) > BULKY_BYTES {
            self.mix.bulky.fetch_add(1, Ordering::Relaxed);
            self.mix.small_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// The exchange has ended.
    pub(crate) fn end(&self) {
        match self.bytes.swap(0, Ordering::Relaxed) {
            0 => {}
            1..=BULKY_BYTES => {
                self.mix.small_in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.mix.bulky.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Mix, Passing};
    use crate::limits::{BULKY_BYTES, SMALL_IN_A_ROW, SMALL_TOGETHER};

    fn exchange(mix: &Arc<Mix>, bytes: usize) {
        let passing = Passing::new(Arc::clone(mix));
        passing.pass(bytes - 1);
        passing.pass(1);
    }

    #[test]
    fn small_exchanges_weigh_little_once_many_were_small() {
        let mix = Arc::new(Mix::default());
        for done in 0..=SMALL_IN_A_ROW {
            let is_small = done == SMALL_IN_A_ROW;
            assert_eq!(mix.weigh(SMALL_TOGETHER), if is_small { 1 } else { SMALL_TOGETHER }, "{done}");
            exchange(&mix, BULKY_BYTES);
        }
        for (busy, weight) in [(SMALL_TOGETHER - 1, 0), (SMALL_TOGETHER, 1), (SMALL_TOGETHER + 1, 1)] {
            assert_eq!(mix.weigh(busy), weight);
        }
        exchange(&mix, BULKY_BYTES + 1);
        assert_eq!(mix.weigh(SMALL_TOGETHER), SMALL_TOGETHER, "what comes next may be as bulky");
    }

    #[test]
    fn a_bulky_one_weighs_in_full_while_it_lasts() {
        let mix = Arc::new(Mix::default());
        let bulky = Passing::new(Arc::clone(&mix));
        bulky.pass(BULKY_BYTES + 1);
        bulky.pass(BULKY_BYTES + 1);
        for _ in 0..SMALL_IN_A_ROW {
            exchange(&mix, 1);
        }
        assert_eq!(mix.weigh(SMALL_TOGETHER), 1);
        assert_eq!(mix.weigh(SMALL_TOGETHER + 1), 2);
        bulky.end();
        drop(bulky);
        assert_eq!(mix.weigh(SMALL_TOGETHER + 1), 1, "ended once");
    }

    #[test]
    fn what_is_carried_as_it_is_weighs_in_full() {
        let mix = Arc::new(Mix::default());
        for _ in 0..SMALL_IN_A_ROW {
            exchange(&mix, 1);
        }
        let carried = Passing::in_full(Arc::clone(&mix));
        carried.pass(1);
        assert_eq!(mix.weigh(1), 1);
        drop(carried);
        assert_eq!(mix.weigh(1), 0);
    }

    #[test]
    fn a_stream_without_a_byte_says_nothing() {
        let mix = Arc::new(Mix::default());
        for _ in 0..SMALL_IN_A_ROW {
            drop(Passing::new(Arc::clone(&mix)));
        }
        assert_eq!(mix.weigh(SMALL_TOGETHER), SMALL_TOGETHER);
    }
}
