//! K6: what a process holds goes back to what it held before.

/// What a process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// What of it may stay beyond five per cent.
#[derive(Clone, Copy, Debug)]
pub struct Slack {
    /// Descriptors: connections that others keep open for a while.
    pub descriptors: u64,
    /// Threads: a runtime keeps idle ones for a while.
    pub threads: u64,
    /// Memory: an allocator gives back what it likes.
    pub resident_bytes: u64,
}

impl Held {
    /// What of `after` has leaked, if this was before.
    #[must_use]
    pub fn leaked(&self, after: &Self, slack: Slack) -> Vec<String> {
        let pairs = [
            ("descriptors", self.descriptors, after.descriptors, slack.descriptors),
            ("threads", self.threads, after.threads, slack.threads),
            ("bytes", self.resident_bytes, after.resident_bytes, slack.resident_bytes),
        ];
        let leaked =
            pairs.into_iter().filter(|(_, before, after, slack)| *after > before + before / 20 + slack);
        leaked.map(|(what, before, after, _)| format!("{after} {what}, and {before} before")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Slack};

    const BEFORE: Held = Held { descriptors: 100, threads: 20, resident_bytes: 1_000 };
    const SLACK: Slack = Slack { descriptors: 2, threads: 1, resident_bytes: 50 };

    #[test]
    fn what_stays_beyond_the_slack_is_found() {
        let most = Held { descriptors: 107, threads: 22, resident_bytes: 1_100 };
        assert_eq!(BEFORE.leaked(&most, SLACK), Vec::<String>::new());
        for (after, words) in [
            (Held { descriptors: 108, ..most }, "108 descriptors, and 100 before"),
            (Held { threads: 23, ..most }, "23 threads, and 20 before"),
            (Held { resident_bytes: 1_101, ..most }, "1101 bytes, and 1000 before"),
        ] {
            assert_eq!(BEFORE.leaked(&after, SLACK), [words]);
        }
    }
}
