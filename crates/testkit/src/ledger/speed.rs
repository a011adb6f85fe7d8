//! K7: who is not meant by a fault is as fast as before and after. The middle of many small answers says so, on a machine that
//! does other things; the slowest hundredth says that nobody stood still.

use std::time::Duration;

/// How much slower is still as fast.
#[derive(Clone, Copy, Debug)]
pub struct Slowdown {
    /// In hundredths of the usual time.
    pub percent_max: u32,
    /// Beside that: what a machine that does other things adds to any time.
    pub noise: Duration,
}

/// The pace of whoever measures, as long as answers are faster.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Whether the middle one of the answers during a fault took longer than it may; the usual is the slower of two times, before the
/// fault and after it, so that a machine that becomes busier is not taken for the fault.
#[must_use]
pub fn slowed(usual: [&[Duration]; 2], during: &[Duration], may: Slowdown) -> Option<String> {
    let usual = usual.into_iter().filter_map(median).max();
    let (Some(usual), Some(during)) = (usual, median(during)) else {
        return Some("there is nothing to compare".to_owned());
    };
    let most = usual * may.percent_max / 100 + may.noise;
    (during > most).then(|| format!("the median is {during:?}, and usually {usual:?}"))
}

/// How long it takes who asks at any moment: whoever waits for an answer asks nothing meanwhile, so a slow answer stands for all
/// those that would have been asked, one in each [`ASKED_EVERY`].
fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let lasted = |time: &Duration| (*time).max(ASKED_EVERY);
    let half = times.iter().map(lasted).sum::<Duration>() / 2;
    let mut passed = Duration::ZERO;
    times.into_iter().find(|time| {
        passed += lasted(time);
        passed > half
    })
}

/// Whether the slowest hundredth became slower than it may.
#[must_use]
pub fn slower(usual: &[Duration], during: &[Duration], may: Slowdown) -> Option<String> {
    let (Some(usual), Some(during)) = (p99(usual), p99(during)) else {
        return Some("there is nothing to compare".to_owned());
    };
    let most = usual * may.percent_max / 100 + may.noise;
    (during > most).then(|| format!("p99 is {during:?}, and usually {usual:?}"))
}

fn p99(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Slowdown, median, p99, slowed, slower};

    const MAY: Slowdown = Slowdown { percent_max: 120, noise: Duration::from_millis(5) };

    fn millis(times: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        times.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_neighbour_who_is_slowed_is_found() {
        let (before, after) = (millis([9, 10, 11]), millis([1, 2, 3]));
        assert_eq!((median(&before), median(&[])), (Some(Duration::from_millis(10)), None));
        let usual = [before.as_slice(), &after];
        assert_eq!(slowed(usual, &millis([1, 17, 18]), MAY), None);
        // A hundred answers in two seconds, and then some in as many or less.
        let stutters = millis(std::iter::repeat_n(5, 100).chain([500; 3]));
        assert_eq!(slowed(usual, &stutters, MAY), None);
        let slow = millis(std::iter::repeat_n(5, 100).chain([500; 4]));
        assert!(slowed(usual, &slow, MAY).is_some());
        let found = slowed(usual, &millis([1, 18, 18]), MAY);
        assert_eq!(found.as_deref(), Some("the median is 18ms, and usually 10ms"));
        // A machine that is busier afterwards was so before.
        assert_eq!(slowed([&after, &before], &millis([17]), MAY), None);
        assert_eq!(slowed([&after, &[]], &millis([7]), MAY), None);
        assert!(slowed([&after, &[]], &millis([8]), MAY).is_some());
        assert!(slowed(usual, &[], MAY).is_some() && slowed([&[], &[]], &before, MAY).is_some());
    }

    #[test]
    fn a_slower_neighbour_is_found() {
        let usual = millis((1..=100).rev());
        assert_eq!(p99(&usual), Some(Duration::from_millis(99)));
        assert_eq!(p99(&millis([7])), Some(Duration::from_millis(7)));
        // One in a hundred may take any time.
        assert_eq!(slower(&usual, &millis((1..=99).chain([60_000])), MAY), None);
        assert_eq!(slower(&millis([100]), &millis([125]), MAY), None);
        let found = slower(&millis([100]), &millis([126]), MAY);
        assert_eq!(found.as_deref(), Some("p99 is 126ms, and usually 100ms"));
        assert!(slower(&usual, &[], MAY).is_some() && slower(&[], &usual, MAY).is_some());
    }
}
