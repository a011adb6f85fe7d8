//! How a node answers a preface.

use crate::capability::CapabilityError;
use crate::codes::codes;

codes! {
    /// How a node answers a preface.
    pub enum Status: u16 {
        /// There is a session.
        Ok = 0 => "ok",
        /// The node speaks none of the agent's versions.
        VersionUnsupported = 1 => "version_unsupported",
        /// The capability is not one that this node believes.
        CapabilityInvalid = 2 => "capability_invalid",
        /// The capability has expired.
        CapabilityExpired = 3 => "capability_expired",
        /// The capability or its API key was revoked.
        CapabilityRevoked = 4 => "capability_revoked",
        /// The signature is not the agent's over this connection.
        PossessionInvalid = 5 => "possession_invalid",
        /// The node has no room for another session.
        Overloaded = 6 => "overloaded",
        /// The node is shutting down.
        Draining = 7 => "draining",
        /// Too many attempts.
        RateLimited = 8 => "rate_limited",
        /// The agent's block breaks a rule.
        Malformed = 9 => "malformed",
    }
}

impl Status {
    /// Whether the same agent would be refused again, however long it waits: it stops instead of dialling again.
    ///
    /// A capability that is invalid, expired or revoked is not that: see [`Status::wants_new_capability`].
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::VersionUnsupported | Self::PossessionInvalid | Self::Malformed)
    }

    /// Whether the agent should exchange its API key for a new capability before it dials again.
    #[must_use]
    pub const fn wants_new_capability(self) -> bool {
        matches!(self, Self::CapabilityInvalid | Self::CapabilityExpired | Self::CapabilityRevoked)
    }
}

impl From<CapabilityError> for Status {
    fn from(error: CapabilityError) -> Self {
        match error {
            CapabilityError::Expired => Self::CapabilityExpired,
            _ => Self::CapabilityInvalid,
        }
    }
}
