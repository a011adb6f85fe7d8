//! Times in buckets that grow with the time, so that a percentile is right to about a percent whatever its size.

use std::time::Duration;

/// Buckets per doubling: a value is known to 1/128 of itself.
const STEPS: u64 = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Doublings above the first: 2^42 ns are over an hour.
const DOUBLINGS: u64 = 35;

/// How often which time was seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = usize::try_from(STEPS * (DOUBLINGS + 1)).unwrap_or(usize::MAX);
        Self { buckets: vec![0; buckets], count: 0, longest: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one time. Times beyond the last bucket count there.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let index = index(nanos).min(self.buckets.len().saturating_sub(1));
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    /// Counts everything that another one counted.
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    /// How many times were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The time that `per_mille` of all did not exceed; zero when there are none. Rounded up to the bucket's end, and
    /// never above the longest.
    pub fn per_mille(&self, per_mille: u64) -> Duration {
        let rank = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket;
            if seen >= rank {
                return Duration::from_nanos(end(index)).min(self.longest);
            }
        }
        self.longest
    }
}

/// The bucket of a value. The first `STEPS` values have one each; from there each doubling has `STEPS`.
fn index(value: u64) -> usize {
    let doubling = value.max(1).ilog2().saturating_sub(STEP_BITS);
    let index = u64::from(doubling) * STEPS + (value >> doubling);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn end(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let doubling = index / STEPS - 1;
    ((index - doubling * STEPS + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Histogram, end, index};

    #[test]
    fn every_value_is_in_a_bucket_that_is_at_most_a_percent_wide() {
        let mut values: Vec<u64> = (0..2000).collect();
        values.extend((11..42).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        for value in values {
            let end = end(index(value));
            assert!(end >= value && end - value <= value / 100, "{value} is below {end}");
            assert_eq!(index(end), index(value), "{value}");
            assert_eq!(index(end + 1), index(value) + 1, "{value}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut one = Histogram::default();
        let mut other = Histogram::default();
        assert_eq!(one.per_mille(990), Duration::ZERO);
        for micros in 1..=1000 {
            let half = if micros % 2 == 0 { &mut one } else { &mut other };
            half.record(Duration::from_micros(micros));
        }
        one.add(&other);
        assert_eq!(one.count(), 1000);
        for (per_mille, micros) in [(500, 500), (990, 990), (999, 999), (1000, 1000), (1, 1)] {
            let (exact, have) = (Duration::from_micros(micros), one.per_mille(per_mille));
            assert!(have >= exact && have <= exact.mul_f64(1.01), "{per_mille}: {have:?}");
        }
    }

    #[test]
    fn one_value_is_all_of_its_percentiles_and_a_huge_one_counts() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(37));
        assert_eq!(histogram.per_mille(1), Duration::from_micros(37));
        assert_eq!(histogram.per_mille(999), Duration::from_micros(37));
        histogram.record(Duration::from_hours(100));
        assert!(histogram.per_mille(1000) > Duration::from_hours(1));
    }
}
