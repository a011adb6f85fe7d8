//! What an endpoint carried.

use serde::{Deserialize, Serialize};

/// What an endpoint carried, as visitor and upstream can count it too. docs/metering.md defines each number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Carried {
    /// HTTP requests that the upstream answered.
    pub requests: u64,
    /// Connections whose bytes passed as they are: upgraded ones, TCP and TLS; and flows of datagrams.
    pub connections: u64,
    /// Bytes from visitors to upstreams.
    pub in_bytes: u64,
    /// Bytes from upstreams to visitors.
    pub out_bytes: u64,
}

impl Carried {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            connections: self.connections.saturating_add(other.connections),
            in_bytes: self.in_bytes.saturating_add(other.in_bytes),
            out_bytes: self.out_bytes.saturating_add(other.out_bytes),
        }
    }

    /// What came on top of `earlier`. Nothing where `earlier` is larger.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            connections: self.connections.saturating_sub(earlier.connections),
            in_bytes: self.in_bytes.saturating_sub(earlier.in_bytes),
            out_bytes: self.out_bytes.saturating_sub(earlier.out_bytes),
        }
    }

    /// Of each number the larger one.
    #[must_use]
    pub fn largest(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            connections: self.connections.max(other.connections),
            in_bytes: self.in_bytes.max(other.in_bytes),
            out_bytes: self.out_bytes.max(other.out_bytes),
        }
    }

    /// Whether nothing was carried.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::Carried;

    #[test]
    fn sums_and_differences_stop_at_the_ends() {
        let one = Carried { requests: 1, connections: 2, in_bytes: 3, out_bytes: 4 };
        let most =
            Carried { requests: u64::MAX, connections: u64::MAX, in_bytes: u64::MAX, out_bytes: u64::MAX };
        assert_eq!(one.plus(one), Carried { requests: 2, connections: 4, in_bytes: 6, out_bytes: 8 });
        assert_eq!(one.plus(most), most);
        assert_eq!(one.plus(one).since(one), one);
        let other = Carried { requests: 9, ..Carried::default() };
        assert_eq!(one.largest(other), Carried { requests: 9, ..one });
        assert!(one.since(most).is_none() && !one.is_none());
    }
}
