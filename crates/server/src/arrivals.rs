//! How many of something may arrive in a second. Asked for every request, so it is one atomic step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;

/// So many a second; after a pause, as many at once.
#[derive(Debug)]
pub(crate) struct Arrivals {
    born: Instant,
    per_s_max: AtomicU64,
    /// When the whole of a second is free again, in nanoseconds after `born`. Nothing is free when that is a second away.
    free_at_ns: AtomicU64,
}

impl Arrivals {
    /// Nothing may arrive until [`Arrivals::hold_to`].
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), per_s_max: AtomicU64::new(0), free_at_ns: AtomicU64::new(0) }
    }

    /// From now on, so many a second.
    pub(crate) fn hold_to(&self, per_s_max: u64) {
        self.per_s_max.store(per_s_max, Ordering::Relaxed);
    }

    /// Whether one more may arrive. Who may not costs those that come later nothing.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let Some(each_ns) = SECOND_NS.checked_div(self.per_s_max.load(Ordering::Relaxed)) else {
            return false;
        };
        let now_ns = nanos(now.saturating_duration_since(self.born));
        let one_more = |free_at_ns: u64| {
            let after_ns = free_at_ns.max(now_ns).saturating_add(each_ns);
            (after_ns.saturating_sub(now_ns) <= SECOND_NS).then_some(after_ns)
        };
        self.free_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Arrivals;

    /// How many of a thousand may arrive at this moment.
    fn arrive(arrivals: &Arrivals, now: Instant) -> usize {
        (0..1_000).filter(|_| arrivals.take(now)).count()
    }

    #[test]
    fn a_second_has_so_many_places() {
        for per_s_max in [1, 99, 100, 101] {
            let arrivals = Arrivals::new();
            arrivals.hold_to(per_s_max);
            let begun = Instant::now();
            let wanted = usize::try_from(per_s_max).unwrap_or_default();
            assert_eq!(arrive(&arrivals, begun), wanted);
            assert_eq!(arrive(&arrivals, begun + Duration::from_secs(1)), wanted);
            // After a long pause there is a second's worth, and no more.
            assert_eq!(arrive(&arrivals, begun + Duration::from_hours(1)), wanted);
        }
    }

    #[test]
    fn what_is_used_up_comes_back_bit_by_bit() {
        let (arrivals, begun) = (Arrivals::new(), Instant::now());
        arrivals.hold_to(100);
        assert_eq!(arrive(&arrivals, begun), 100);
        for n in 1..50 {
            assert_eq!(arrive(&arrivals, begun + n * Duration::from_millis(20)), 2, "{n}");
        }
    }

    #[test]
    fn nothing_arrives_where_nothing_may_and_a_new_limit_counts_at_once() {
        let (arrivals, now) = (Arrivals::new(), Instant::now());
        assert_eq!(arrive(&arrivals, now), 0);
        arrivals.hold_to(10);
        assert_eq!(arrive(&arrivals, now), 10);
        arrivals.hold_to(0);
        assert_eq!(arrive(&arrivals, now + Duration::from_secs(5)), 0);
    }
}
