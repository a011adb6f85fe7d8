//! K8: what is billed is what was carried, but for the last seconds before a node was killed.

use std::time::Duration;

/// What has been carried so far at different times, by whoever sent it or got it.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    seen: Vec<(Duration, u64)>,
    killed: Vec<Duration>,
}

impl Bill {
    /// So much has been carried by now, all in all.
    pub fn saw(&mut self, at: Duration, all: u64) {
        self.seen.push((at, all));
    }

    /// The node is killed now.
    pub fn killed(&mut self, at: Duration) {
        self.killed.push(at);
    }

    /// The most that may be billed.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.seen.last().map_or(0, |(_, all)| *all)
    }

    /// The least that may be billed, where each kill may lose what was carried in the time `lost_max` before it. Nothing is
    /// lost twice: what was there before an earlier kill is lost with that one, or not at all.
    #[must_use]
    pub fn least(&self, lost_max: Duration) -> u64 {
        let earlier = std::iter::once(Duration::ZERO).chain(self.killed.iter().copied());
        let lost = self.killed.iter().zip(earlier).map(|(killed, earlier)| {
            let from = killed.saturating_sub(lost_max).max(earlier);
            self.carried_by(*killed).saturating_sub(self.carried_before(from))
        });
        self.most().saturating_sub(lost.sum())
    }

    /// What is wrong with a bill.
    #[must_use]
    pub fn violation(&self, billed: u64, lost_max: Duration) -> Option<String> {
        let (least, most) = (self.least(lost_max), self.most());
        let wrong = if billed > most { "twice" } else { "too little" };
        (billed < least || billed > most).then(|| format!("billed {wrong}: {billed} of {least} to {most}"))
    }

    /// At the latest: what was seen a moment later may have been carried before.
    fn carried_by(&self, at: Duration) -> u64 {
        let later = self.seen.iter().find(|(seen, _)| *seen >= at);
        later.map_or_else(|| self.most(), |(_, all)| *all)
    }

    fn carried_before(&self, at: Duration) -> u64 {
        self.seen.iter().rev().find(|(seen, _)| *seen <= at).map_or(0, |(_, all)| *all)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Bill;

    const SECOND: Duration = Duration::from_secs(1);
    const LOST_MAX: Duration = Duration::from_secs(10);

    /// Ten in a second, for a minute.
    fn steady() -> Bill {
        let mut bill = Bill::default();
        (0..=60).for_each(|second| bill.saw(SECOND * second, u64::from(second) * 10));
        bill
    }

    #[test]
    fn without_a_kill_a_bill_is_right_to_the_byte() {
        assert_eq!(steady().violation(600, LOST_MAX), None);
        assert_eq!(
            steady().violation(599, LOST_MAX).as_deref(),
            Some("billed too little: 599 of 600 to 600")
        );
        assert_eq!(steady().violation(601, LOST_MAX).as_deref(), Some("billed twice: 601 of 600 to 600"));
    }

    #[test]
    fn each_kill_loses_what_was_carried_in_the_seconds_before() {
        let mut bill = steady();
        bill.killed(SECOND * 30);
        bill.killed(SECOND * 50);
        assert_eq!(bill.violation(400, LOST_MAX), None);
        assert_eq!(bill.violation(600, LOST_MAX), None);
        assert!(bill.violation(399, LOST_MAX).is_some());
        assert!(bill.violation(601, LOST_MAX).is_some());
        // Before the first ten seconds are over there is no more to lose than there is.
        let mut early = steady();
        early.killed(SECOND * 4);
        assert_eq!(early.least(LOST_MAX), 560);
        // A second kill a second later loses a second.
        let mut twice = steady();
        twice.killed(SECOND * 30);
        twice.killed(SECOND * 31);
        assert_eq!(twice.least(LOST_MAX), 490);
    }
}
