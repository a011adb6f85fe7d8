//! How the requests to an upstream are handled.

/// How an agent wants the requests to its upstream handled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Handling {
    /// Whose requests one connection carries.
    pub reuse: Reuse,
    /// What becomes of a request that the upstream may have acted on.
    pub retry: Retry,
}

/// Whose requests one connection to an upstream carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reuse {
    /// Those of whichever visitors, one after the other.
    #[default]
    Shared,
    /// One request: the upstream takes what it knows of the connection for known of the visitor.
    Off,
}

/// What becomes of a request that got no response and that the upstream may have acted on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Retry {
    /// Where that does no harm (RFC 9110, section 9.2.1) it is sent again, once.
    #[default]
    Safe,
    /// The visitor is told.
    Off,
}

impl Reuse {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Shared => 0,
            Self::Off => 1,
        }
    }

    /// The wish with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Shared),
            1 => Some(Self::Off),
            _ => None,
        }
    }
}

impl Retry {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Safe => 0,
            Self::Off => 1,
        }
    }

    /// The wish with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Safe),
            1 => Some(Self::Off),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Retry, Reuse};

    #[test]
    fn codes_are_read_as_they_are_written() {
        let reuses: Vec<_> = (0..=u8::MAX).filter_map(Reuse::from_code).collect();
        assert_eq!(reuses, [Reuse::Shared, Reuse::Off]);
        assert!(reuses.iter().all(|reuse| Reuse::from_code(reuse.code()) == Some(*reuse)));
        let retries: Vec<_> = (0..=u8::MAX).filter_map(Retry::from_code).collect();
        assert_eq!(retries, [Retry::Safe, Retry::Off]);
        assert!(retries.iter().all(|retry| Retry::from_code(retry.code()) == Some(*retry)));
    }
}
