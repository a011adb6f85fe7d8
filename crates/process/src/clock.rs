//! The wall clock, read here and nowhere else: what depends on the time takes it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, now. Negative on a machine whose clock is set before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_wall_clock_counts_microseconds() {
        let year_2020_micros = 1_577_836_800_000_000;
        let year_2200_micros = 7_258_118_400_000_000;
        assert!((year_2020_micros..year_2200_micros).contains(&super::wall_micros()));
    }
}
