//! When a session asks for a fresh capability.

use std::time::Duration;

use adit_wire::control::Frame;
use tokio::time::Instant;

use crate::grant::Grants;
use crate::limits::{REFRESH, REFRESH_AGAIN, REFRESH_MIN};

/// When to ask for a fresh capability.
pub(super) struct Refresh {
    pub(super) next: Instant,
    every: Duration,
    request: u32,
}

impl Refresh {
    /// Hourly, or twice in the life of a capability that is shorter than that.
    pub(super) fn new(grants: &Grants, now: Instant) -> Self {
        let (left, lifetime) = grants.held().map_or((REFRESH, REFRESH), |grant| {
            (grant.expires.saturating_duration_since(now), grant.lifetime)
        });
        let every = (lifetime / 2).clamp(REFRESH_MIN, REFRESH);
        Self { next: now + every.min(left / 2), every, request: 0 }
    }

    /// The question, and the moment of the next one.
    pub(super) fn ask(&mut self, now: Instant) -> Frame {
        self.request = self.request.wrapping_add(1);
        self.next = now + self.every;
        Frame::Refresh { request: self.request }
    }

    /// The node said no.
    pub(super) fn refused(&mut self, retry_after: Duration, now: Instant) {
        self.next = now + retry_after.clamp(REFRESH_AGAIN, REFRESH);
    }
}
