//! How an agent that is asked to stop leaves its endpoint.

use std::time::Duration;

use crate::limits::{BIND_SETTLED, FAREWELL, GRACE_RELEASED, GRACE_RETURNING};

/// What becomes of the endpoint when its agent stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// It is given back: visitors are told at once that nobody serves it.
    Release,
    /// The agent is being restarted: requests wait for it, as they do for one that was lost.
    Return,
}

impl Parting {
    /// How long the agent may take to end: a bind under way, its streams in flight, and its last words.
    #[must_use]
    pub const fn takes_at_most(self) -> Duration {
        let grace = match self {
            Self::Release => GRACE_RELEASED,
            Self::Return => GRACE_RETURNING,
        };
        grace.saturating_add(BIND_SETTLED).saturating_add(FAREWELL).saturating_add(FAREWELL)
    }
}
