//! Pools: several agents that serve one endpoint together.

/// How the visitors of a pooled endpoint are shared among its agents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pooling {
    /// How an agent is chosen.
    pub balance: Balance,
    /// What makes a visitor come back to the same one.
    pub sticky: Sticky,
}

/// How one of several agents is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Balance {
    /// The one with the fewest requests in flight; between equals, each in turn.
    #[default]
    Least,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}

/// What makes a visitor come back to the agent that served it before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Sticky {
    /// Nothing.
    #[default]
    No,
    /// A cookie of ours.
    Cookie,
    /// The visitor's address.
    Address,
}

impl Balance {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Least => 1,
            Self::RoundRobin => 2,
            Self::Random => 3,
        }
    }

    /// The choice with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Least),
            2 => Some(Self::RoundRobin),
            3 => Some(Self::Random),
            _ => None,
        }
    }
}

impl Sticky {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Cookie => 1,
            Self::Address => 2,
        }
    }

    /// The choice with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::No),
            1 => Some(Self::Cookie),
            2 => Some(Self::Address),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Balance, Sticky};

    #[test]
    fn codes_are_read_as_they_are_written() {
        let balances: Vec<_> = (0..=u8::MAX).filter_map(Balance::from_code).collect();
        assert_eq!(balances, [Balance::Least, Balance::RoundRobin, Balance::Random]);
        assert!(balances.iter().all(|balance| Balance::from_code(balance.code()) == Some(*balance)));
        let stickies: Vec<_> = (0..=u8::MAX).filter_map(Sticky::from_code).collect();
        assert_eq!(stickies, [Sticky::No, Sticky::Cookie, Sticky::Address]);
        assert!(stickies.iter().all(|sticky| Sticky::from_code(sticky.code()) == Some(*sticky)));
    }
}
