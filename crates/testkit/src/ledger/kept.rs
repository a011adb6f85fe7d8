//! K4: what was acknowledged is there after a crash; what was not may be there or not, but not something else.

use std::collections::BTreeSet;

/// What was asked to be kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    asked: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
}

impl Kept {
    /// Somebody asks to keep this.
    pub fn ask(&mut self, what: &str) {
        self.asked.insert(what.to_owned());
    }

    /// And was told that it is kept.
    pub fn acknowledge(&mut self, what: &str) {
        self.ask(what);
        self.acknowledged.insert(what.to_owned());
    }

    /// How much was acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// What is wrong with what is there after a restart.
    #[must_use]
    pub fn violations(&self, found: &BTreeSet<String>) -> Vec<String> {
        let lost =
            self.acknowledged.difference(found).map(|what| format!("{what} was acknowledged and is lost"));
        let odd =
            found.difference(&self.asked).map(|what| format!("{what} is there, and nobody asked for it"));
        lost.chain(odd).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;

    fn found(kept: &Kept, there: &[&str]) -> Vec<String> {
        kept.violations(&there.iter().copied().map(str::to_owned).collect())
    }

    #[test]
    fn what_is_lost_and_what_is_invented_is_found() {
        let mut kept = Kept::default();
        kept.acknowledge("one");
        kept.ask("two");
        assert_eq!(found(&kept, &["one"]), Vec::<String>::new());
        assert_eq!(found(&kept, &["one", "two"]), Vec::<String>::new());
        assert_eq!(found(&kept, &["two"]), ["one was acknowledged and is lost"]);
        assert_eq!(found(&kept, &["one", "tw"]), ["tw is there, and nobody asked for it"]);
    }
}
