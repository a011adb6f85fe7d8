//! What an API key, and the capability made from it, allows.

use serde::{Deserialize, Serialize};

/// A set of rights, as bits that storage and the wire keep as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(u64);

impl Rights {
    /// No rights.
    pub const NONE: Self = Self(0);
    /// Bind endpoints that the tenant already owns.
    pub const BIND: Self = Self(1);
    /// Reserve new names for the tenant.
    pub const RESERVE: Self = Self(1 << 1);
    /// What a key has when nothing else was said.
    pub const AGENT: Self = Self(Self::BIND.0 | Self::RESERVE.0);

    /// The set with these bits. Bits without a meaning yet grant nothing.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of this set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether every right of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
