//! The moment of a request in words, read out of its id: no clock is asked.

use adit_domain::id::RequestId;

const DAY_S: u64 = 86_400;

/// `2026-11-21 09:05:07 UTC`, or `None` for an id that carries no time.
pub(super) fn of(request_id: RequestId) -> Option<String> {
    let (unix_s, _) = request_id.as_uuid().get_timestamp()?.to_unix();
    let (mut days, second) = (unix_s.checked_div(DAY_S)?, unix_s.checked_rem(DAY_S)?);
    let mut year = 1970_u64;
    while days >= days_of_year(year) {
        days = days.saturating_sub(days_of_year(year));
        year = year.checked_add(1).filter(|year| *year < 10_000)?;
    }
    let mut month = 1_u64;
    for length in months(year) {
        if days < length {
            break;
        }
        days = days.saturating_sub(length);
        month = month.saturating_add(1);
    }
    let day = days.saturating_add(1);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn months(year: u64) -> [u64; 12] {
    [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::of;
    use adit_domain::id::RequestId;

    fn at(unix_ms: u64) -> Option<String> {
        let mut bytes = [0_u8; 16];
        bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[8] = 0x80;
        of(RequestId::from_bytes(bytes))
    }

    #[test]
    fn known_moments() {
        for (unix_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_000, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199_999, "2024-02-29 23:59:59 UTC"),
            (1_735_689_600_000, "2025-01-01 00:00:00 UTC"),
            (4_107_542_399_000, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(at(unix_ms).as_deref(), Some(text));
        }
    }

    #[test]
    fn an_id_without_a_time_has_none() {
        assert_eq!(of(RequestId::from_bytes([0; 16])), None);
        assert_eq!(at(u64::MAX >> 16), None, "year 10889");
    }
}
