//! How long to wait before coming back. Time and randomness are arguments.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, RETRY_AFTER_MAX, STABLE};

/// Full jitter under a ceiling that doubles from [`BACKOFF_MIN`] to [`BACKOFF_MAX`], so that the agents of a node that
/// went away do not come back in step.
///
/// The ceiling starts again only after a session that lived for [`STABLE`]: a server that takes agents in and drops
/// them at once is not hammered.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after a try that ended, or a session that lived for `lived` (zero if it never came to one).
    ///
    /// `random` is uniform over all of `u64`. What the server asked for in `retry_after` is a floor, at most
    /// [`RETRY_AFTER_MAX`]; the jitter comes on top, since it asked everyone for the same.
    pub fn after(&mut self, lived: Duration, retry_after: Duration, random: u64) -> Duration {
        if lived >= STABLE {
            self.failures = 0;
        }
        let ceiling =
            BACKOFF_MIN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        retry_after.min(RETRY_AFTER_MAX) + share(ceiling, random)
    }
}

/// `whole` × `random` / 2⁶⁴, in whole milliseconds.
fn share(whole: Duration, random: u64) -> Duration {
    let millis = whole.as_millis().saturating_mul(u128::from(random)) >> 64;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;
    use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, RETRY_AFTER_MAX, STABLE};

    const NEVER: Duration = Duration::ZERO;

    fn ceilings(backoff: &mut Backoff, lived: Duration, tries: usize) -> Vec<u128> {
        (0..tries).map(|_| backoff.after(lived, NEVER, u64::MAX).as_millis()).collect()
    }

    #[test]
    fn ceiling_doubles_up_to_half_a_minute_and_stays() {
        let expected = [499, 999, 1_999, 3_999, 7_999, 15_999, 29_999, 29_999];
        assert_eq!(ceilings(&mut Backoff::default(), NEVER, 8), expected);
        let mut old = Backoff { failures: u32::MAX };
        assert_eq!(ceilings(&mut old, NEVER, 2), [29_999, 29_999]);
    }

    #[test]
    fn it_stays_between_its_bounds() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..20).map(|_| backoff.after(NEVER, NEVER, u64::MAX)).collect();
        // The largest share of a ceiling is a little less than the whole of it.
        let almost = Duration::from_millis(1);
        assert_eq!(delays.iter().min(), Some(&BACKOFF_MIN.saturating_sub(almost)));
        assert_eq!(delays.iter().max(), Some(&BACKOFF_MAX.saturating_sub(almost)));
    }

    #[test]
    fn jitter_is_full() {
        let first = |random| Backoff::default().after(NEVER, NEVER, random).as_millis();
        assert_eq!(first(0), 0);
        assert_eq!(first(u64::MAX / 2), 249);
        assert_eq!(first(u64::MAX), 499);
    }

    #[test]
    fn only_a_stable_session_starts_it_again() {
        let mut backoff = Backoff::default();
        ceilings(&mut backoff, NEVER, 4);
        assert_eq!(ceilings(&mut backoff, STABLE.saturating_sub(Duration::from_millis(1)), 1), [7_999]);
        assert_eq!(ceilings(&mut backoff, STABLE, 1), [499]);
        assert_eq!(ceilings(&mut backoff, NEVER, 1), [999]);
    }

    #[test]
    fn what_the_server_asks_for_is_a_bounded_floor() {
        let after = |seconds, random| Backoff::default().after(NEVER, Duration::from_secs(seconds), random);
        assert_eq!(after(7, 0), Duration::from_secs(7));
        assert_eq!(after(7, u64::MAX), Duration::from_millis(7_499));
        assert_eq!(after(600, 0), RETRY_AFTER_MAX);
        assert_eq!(after(601, 0), RETRY_AFTER_MAX);
    }
}
