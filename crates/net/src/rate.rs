//! Token buckets: so many at once, and then so many a second.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How fast something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once, after a pause.
    pub burst: u32,
    /// Time for one more.
    pub interval: Duration,
}

/// It was too often; one more is possible after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften(pub Duration);

/// One bucket, as the moment at which it is full again: full when that is past, empty when it is a whole burst away.
#[derive(Clone, Debug)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one token, or says when there will be one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), TooOften> {
        self.take_leaving(0, rate, now)
    }

    /// Takes one token if at least so many stay, or says when they will.
    fn take_leaving(&mut self, left_min: u32, rate: Rate, now: Instant) -> Result<(), TooOften> {
        let owed = self.full_at.saturating_duration_since(now);
        let after = owed.saturating_add(rate.interval);
        let room = rate.interval.saturating_mul(rate.burst.saturating_sub(left_min));
        if after > room {
            return Err(TooOften(after.saturating_sub(room)));
        }
        self.full_at = now.checked_add(after).unwrap_or(now);
        Ok(())
    }
}

/// A bucket that all share.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, bucket: Mutex::new(Bucket::full(Instant::now())) }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// [`TooOften`] when there is none.
    pub fn take(&self, now: Instant) -> Result<(), TooOften> {
        self.take_leaving(0, now)
    }

    /// Takes one token, unless fewer than `left_min` would stay for others.
    ///
    /// # Errors
    /// [`TooOften`] when there are not so many.
    pub fn take_leaving(&self, left_min: u32, now: Instant) -> Result<(), TooOften> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take_leaving(left_min, self.rate, now)
    }
}

/// A bucket for each key, at most `keys_max`. Full buckets are forgotten: a new one is the same.
#[derive(Debug)]
pub struct Paces<K> {
    rate: Rate,
    keys_max: usize,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Paces<K> {
    /// No keys yet.
    #[must_use]
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, keys_max, buckets: Mutex::default() }
    }

    /// Whether there is a token of `key`, without taking it.
    ///
    /// # Errors
    /// [`TooOften`] when there is none.
    pub fn look(&self, key: &K, now: Instant) -> Result<(), TooOften> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get(key) else { return Ok(()) };
        Bucket::clone(bucket).take(self.rate, now)
    }

    /// Takes one token of `key`. When there are as many keys as may be, and none has a full bucket, new ones go without:
    /// whoever sends from that many places is not held by a limit for each.
    ///
    /// # Errors
    /// [`TooOften`] when there is none.
    pub fn take(&self, key: K, now: Instant) -> Result<(), TooOften> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= self.keys_max && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.full_at > now);
            if buckets.len() >= self.keys_max {
                return Ok(());
            }
        }
        buckets.entry(key).or_insert_with(|| Bucket::full(now)).take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Pace, Paces, Rate, TooOften};

    const RATE: Rate = Rate { burst: 3, interval: Duration::from_secs(10) };

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let (begun, pace) = (Instant::now(), Pace::new(RATE));
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (seconds, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(10)),
            (9, Err(1)),
            (10, Ok(())),
            (10, Err(10)),
            // After a long pause there is a burst again, and no more.
            (1_000, Ok(())),
            (1_000, Ok(())),
            (1_000, Ok(())),
            (1_000, Err(10)),
        ] {
            // A moment passed between the making of the bucket and this.
            let taken = pace.take(at(seconds) + Duration::from_millis(500));
            let taken = taken.map_err(|TooOften(wait)| (wait + Duration::from_millis(600)).as_secs());
            assert_eq!(taken, expected, "at {seconds}");
        }
    }

    #[test]
    fn what_is_to_stay_for_others_stays() {
        let (pace, now) = (Pace::new(RATE), Instant::now());
        let taken: Vec<_> = (0..3).map(|_| pace.take_leaving(1, now).is_ok()).collect();
        assert_eq!(taken, [true, true, false]);
        assert_eq!([pace.take(now).is_ok(), pace.take(now).is_ok()], [true, false]);
        assert!(pace.take_leaving(RATE.burst, now + Duration::from_hours(1)).is_err());
    }

    #[test]
    fn keys_do_not_share() {
        let (paces, now) = (Paces::new(RATE, 10), Instant::now());
        for key in ["a", "b"] {
            let taken: Vec<_> = (0..4).map(|_| paces.take(key, now).is_ok()).collect();
            assert_eq!(taken, [true, true, true, false], "{key}");
        }
    }

    #[test]
    fn there_are_only_so_many_keys_and_full_buckets_are_forgotten() {
        let (paces, now) = (Paces::new(RATE, 2), Instant::now());
        let len = || paces.buckets.lock().map(|buckets| buckets.len()).unwrap_or_default();
        for (key, kept) in [(1, 1), (2, 2), (3, 2)] {
            assert_eq!(paces.take(key, now), Ok(()));
            assert_eq!(len(), kept);
        }
        // Those that are held stay held.
        assert!((0..3).any(|_| paces.take(1, now).is_err()));
        let later = now + Duration::from_secs(31);
        assert_eq!(paces.take(3, later), Ok(()));
        assert_eq!(len(), 1);
    }
}
