//! Token buckets: so many at once, and then so many a second.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How fast something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// At once, after a pause.
    pub(crate) burst: u32,
    /// Time for one more.
    pub(crate) interval: Duration,
}

/// It was too often; one more is possible after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOften(pub(crate) Duration);

/// One bucket, as the moment at which it is full again: full when that is past, empty when it is a whole burst away.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one token, or says when there will be one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), TooOften> {
        let owed = self.full_at.saturating_duration_since(now);
        let after = owed.saturating_add(rate.interval);
        let room = rate.interval.saturating_mul(rate.burst);
        if after > room {
            return Err(TooOften(after.saturating_sub(room)));
        }
        self.full_at = now.checked_add(after).unwrap_or(now);
        Ok(())
    }
}

/// A bucket that all share.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// A full bucket.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, bucket: Mutex::new(Bucket::full(Instant::now())) }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// [`TooOften`] when there is none.
    pub(crate) fn take(&self, now: Instant) -> Result<(), TooOften> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.rate, now)
    }
}

/// A bucket for each key, at most `keys_max`. Full buckets are forgotten: a new one is the same.
#[derive(Debug)]
pub(crate) struct Paces<K> {
    rate: Rate,
    keys_max: usize,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Paces<K> {
    /// No keys yet.
    pub(crate) fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, keys_max, buckets: Mutex::default() }
    }

    /// Takes one token of `key`. When there are as many keys as may be, and none has a full bucket, new ones go without:
    /// whoever sends from that many places is not held by a limit for each.
    ///
    /// # Errors
    /// [`TooOften`] when there is none.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), TooOften> {
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
