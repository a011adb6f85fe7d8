//! Memory for streams, granted before it is used.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So much memory as the streams of a process, or of a part of it, may hold for peers that do not read. Clones share one
/// account. Whatever a peer may send, and whatever may wait for it, is taken from here first: no number of slow readers
/// exceeds it.
///
/// New streams may use all of it, growing windows only the first half, so that a few fast streams shut nobody out.
#[derive(Debug, Clone)]
pub struct Budget {
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    total_bytes: usize,
    used_bytes: AtomicUsize,
    whole: Option<Budget>,
    share: Share,
}

/// How much of its total an account may grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    All,
    /// As much as the whole has left.
    AsMuchAsIsLeft,
}

impl Budget {
    /// A budget of its own.
    #[must_use]
    pub fn new(total_bytes: usize) -> Self {
        Self::with(total_bytes, None, Share::All)
    }

    /// A part of this budget, for one tenant or one session: what is taken from the part is taken from the whole too.
    #[must_use]
    pub fn part(&self, total_bytes: usize) -> Self {
        Self::with(total_bytes, Some(self.clone()), Share::All)
    }

    /// A part that may hold as much as the whole has left beside it: half of the whole while no other part holds anything,
    /// a third each of two that take all they can, and so on. However many do, something is left for one more; and who
    /// holds more than that gets nothing until the others have theirs.
    #[must_use]
    pub fn fair_part(&self) -> Self {
        Self::with(self.total_bytes() / 2, Some(self.clone()), Share::AsMuchAsIsLeft)
    }

    fn with(total_bytes: usize, whole: Option<Self>, share: Share) -> Self {
        Self { account: Arc::new(Account { total_bytes, used_bytes: AtomicUsize::new(0), whole, share }) }
    }

    /// All that may be granted.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.account.total_bytes
    }

    /// What is granted now.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.account.used_bytes.load(Ordering::Relaxed)
    }

    /// Whether so much fits in it any more, if only as the first of a [`Budget::fair_part`].
    #[must_use]
    pub fn fits(&self, bytes: usize) -> bool {
        self.left_bytes() >= bytes.saturating_mul(2)
    }

    fn left_bytes(&self) -> usize {
        self.total_bytes().saturating_sub(self.used_bytes())
    }

    /// What may be granted in all, if so much more is asked for now.
    fn grantable_bytes(&self, more: usize) -> usize {
        match (&self.account.whole, self.account.share) {
            (Some(whole), Share::AsMuchAsIsLeft) => whole.left_bytes().saturating_sub(more),
            _ => self.total_bytes(),
        }
    }

    /// What somebody new needs, or `None` if it does not fit.
    #[must_use]
    pub fn admit(&self, bytes: usize) -> Option<Grant> {
        let is_taken = self.take(bytes, |grantable| grantable);
        is_taken.then(|| Grant { budget: self.clone(), bytes })
    }

    /// Whether new streams will soon be refused.
    pub(crate) fn is_short(&self) -> bool {
        let left = self.grantable_bytes(0).saturating_sub(self.used_bytes());
        left < self.total_bytes() / 4 || self.account.whole.as_ref().is_some_and(Self::is_short)
    }

    fn take(&self, bytes: usize, limit: fn(usize) -> usize) -> bool {
        let grantable = limit(self.grantable_bytes(bytes));
        let grown = |used: usize| used.checked_add(bytes).filter(|used| *used <= grantable);
        let used = &self.account.used_bytes;
        if used.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).is_err() {
            return false;
        }
        let is_taken = self.account.whole.as_ref().is_none_or(|whole| whole.take(bytes, limit));
        if !is_taken {
            used.fetch_sub(bytes, Ordering::AcqRel);
        }
        is_taken
    }

    fn give_back(&self, bytes: usize) {
        self.account.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(whole) = &self.account.whole {
            whole.give_back(bytes);
        }
    }
}

/// Bytes that were taken from a budget; dropping it gives them back.
#[derive(Debug)]
pub struct Grant {
    budget: Budget,
    bytes: usize,
}

impl Grant {
    /// Takes more, if that leaves enough for new streams.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let is_taken = self.budget.take(bytes, |grantable| grantable / 2);
        if is_taken {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        is_taken
    }

    /// Gives some back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.budget.give_back(bytes);
    }

    pub(crate) fn is_short(&self) -> bool {
        self.budget.is_short()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::Budget;

    #[test]
    fn streams_get_all_of_it_and_no_more() {
        for (bytes, fits) in [(999, true), (1_000, true), (1_001, false)] {
            let budget = Budget::new(1_000);
            let grant = budget.admit(bytes);
            assert_eq!(grant.is_some(), fits, "{bytes}");
            assert_eq!(budget.used_bytes(), if fits { bytes } else { 0 });
            drop(grant);
            assert_eq!(budget.used_bytes(), 0);
        }
    }

    #[test]
    fn growth_gets_the_first_half() {
        for (bytes, fits) in [(499, true), (500, true), (501, false)] {
            let budget = Budget::new(1_000);
            let grant = budget.admit(0);
            assert_eq!(grant.is_some_and(|mut grant| grant.grow(bytes)), fits, "{bytes}");
            assert!(budget.admit(500).is_some(), "the other half is for new streams");
        }
    }

    #[test]
    fn a_part_takes_from_the_whole() {
        let whole = Budget::new(1_000);
        let parts = [whole.part(700), whole.part(700)];
        let held = parts[0].admit(700);
        assert!(held.is_some() && parts[0].admit(1).is_none(), "the part is used up");
        assert!(parts[1].admit(301).is_none(), "the whole is used up");
        assert_eq!(parts[1].used_bytes(), 0, "what was refused is not counted");
        assert!(parts[1].admit(300).is_some());
        drop(held);
        assert_eq!((whole.used_bytes(), parts[0].used_bytes()), (0, 0));
    }

    #[test]
    fn a_fair_part_holds_as_much_as_is_left() {
        for (bytes, fits) in [(499, true), (500, true), (501, false)] {
            let whole = Budget::new(1_000);
            let alone = whole.fair_part();
            assert_eq!(alone.admit(bytes).is_some(), fits, "{bytes}");
            let held = alone.admit(500);
            assert!(held.is_some() && alone.admit(1).is_none());
            let second = whole.fair_part();
            assert_eq!(second.admit(bytes / 2).is_some(), bytes / 2 <= 250, "{bytes}");
        }
    }

    #[test]
    fn there_is_always_room_for_one_more_part() {
        let whole = Budget::new(1_000_000);
        let mut held = Vec::new();
        for n in 0..8 {
            let part = whole.fair_part();
            let before = held.len();
            while let Some(grant) = part.admit(1_000) {
                held.push(grant);
            }
            assert!(held.len() > before, "nothing was left for {n}");
        }
        // Equal ones that come together get the same, and one more gets half of that.
        let whole = Budget::new(1_000_000);
        let parts: Vec<_> = (0..3).map(|_| whole.fair_part()).collect();
        let mut held = Vec::new();
        for _ in 0..1_000 {
            held.extend(parts.iter().filter_map(|part| part.admit(1_000)));
        }
        let used: Vec<_> = parts.iter().map(|part| part.used_bytes() / 1_000).collect();
        assert!(used.iter().all(|used| (248..=250).contains(used)), "{used:?}");
        assert!(whole.fair_part().admit(120_000).is_some());
    }

    #[test]
    fn who_holds_more_than_is_left_waits_until_others_have_theirs() {
        let whole = Budget::new(1_000);
        let (first, second) = (whole.fair_part(), whole.fair_part());
        let mut held: Vec<_> = (0..50).map(|_| first.admit(10).unwrap()).collect();
        assert!(first.admit(10).is_none());
        let _others: Vec<_> = (0..25).map(|_| second.admit(10).unwrap()).collect();
        // 490 of its own, and 260 are left: what it gives back it does not get again.
        held.pop();
        assert!(first.admit(10).is_none());
        assert!(second.admit(5).is_some());
        held.truncate(30);
        assert!(first.admit(10).is_some());
    }

    #[test]
    fn growth_of_a_fair_part_leaves_room_for_its_streams() {
        for (bytes, fits) in [(333, true), (334, false)] {
            let whole = Budget::new(1_000);
            let grown = whole.fair_part().admit(0).is_some_and(|mut grant| grant.grow(bytes));
            assert_eq!(grown, fits, "{bytes}");
        }
    }

    #[test]
    fn what_shrinks_is_given_back_once() {
        let budget = Budget::new(1_000);
        let mut grant = budget.admit(0).unwrap();
        assert!(grant.grow(400));
        grant.shrink(150);
        assert_eq!(budget.used_bytes(), 250);
        grant.shrink(1_000);
        assert_eq!(budget.used_bytes(), 0);
        drop(grant);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn it_fits_as_the_first_of_a_fair_part() {
        for (left, fits) in [(199, false), (200, true), (201, true)] {
            let budget = Budget::new(1 << 20);
            let _held = budget.admit((1 << 20) - left);
            assert_eq!(budget.fits(100), fits, "{left}");
            assert_eq!(budget.fair_part().admit(100).is_some(), fits, "{left}");
        }
    }

    #[test]
    fn it_is_short_in_its_last_quarter() {
        let whole = Budget::new(1_000);
        let part = whole.part(2_000);
        for (used, short) in [(749, false), (750, false), (751, true)] {
            let held = whole.admit(used);
            assert!(held.is_some());
            assert_eq!((whole.is_short(), part.is_short()), (short, short), "{used}");
        }
    }
}
