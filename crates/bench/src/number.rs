//! Numbers as people read them.

use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;

/// A count as a number to reckon with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts stay far below 2^52, and figures need no more than three digits"
)]
pub const fn float(count: u64) -> f64 {
    count as f64
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> f64 {
    float(bytes) / MIB
}

/// Bytes in GiB.
pub fn gib(bytes: u64) -> f64 {
    mib(bytes) / 1024.0
}

/// The growth from one count of bytes to another in MiB; negative where it shrank.
pub fn growth_mib(from_bytes: u64, to_bytes: u64) -> f64 {
    mib(to_bytes) - mib(from_bytes)
}

/// A time in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Three digits that count, thousands apart: `0.68`, `12.5`, `1,047`.
pub fn readable(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 {
        grouped(&format!("{value:.0}"))
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.2}")
    }
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn three_digits_count_and_thousands_stand_apart() {
        let cases = [
            (0.0, "0"),
            (0.684, "0.68"),
            (9.994, "9.99"),
            (12.46, "12.5"),
            (99.94, "99.9"),
            (100.4, "100"),
            (1047.4, "1,047"),
            (1_234_567.0, "1,234,567"),
            (-12_345.0, "-12,345"),
        ];
        for (value, text) in cases {
            assert_eq!(readable(value), text);
        }
    }
}
