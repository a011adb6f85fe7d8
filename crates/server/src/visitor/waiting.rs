//! What one visitor waits for: an agent that is expected back, or an upstream that is being restarted.

use adit_api::Code;
use adit_domain::Hostname;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::next::{Seen, Time};
use crate::hold::{Came, Expired, Hold};
use crate::limits::{HOLD_REFUSED, HOLD_TOTAL, UPSTREAM_UP_AGE};
use crate::node::Node;

/// One visitor's patience with an endpoint, over all its waits. It begins with the first failure.
pub(super) struct Waiting<'a> {
    node: &'a Node,
    hostname: &'a Hostname,
    /// The moment after which nothing is waited for or tried any more.
    until: Option<Instant>,
    /// What of a body may come meanwhile.
    unread_bytes: usize,
    refused_until: Option<Instant>,
}

impl<'a> Waiting<'a> {
    pub(super) const fn new(node: &'a Node, hostname: &'a Hostname, unread_bytes: usize) -> Self {
        Self { node, hostname, until: None, unread_bytes, refused_until: None }
    }

    /// Whether there is any left.
    pub(super) fn time(&mut self) -> Time {
        if Instant::now() < self.until() { Time::Left } else { Time::Up }
    }

    /// When the upstream answered last: a moment ago, or never mind when.
    pub(super) fn upstream(&self) -> Seen {
        let up_lately = self.refused_until.is_some()
            || self.node.holds.find(self.hostname).is_some_and(|h| h.has_answered_within(UPSTREAM_UP_AGE));
        if up_lately { Seen::Lately } else { Seen::NotLately }
    }

    /// Waits until `is_there`, as [`Hold::agent`] does.
    ///
    /// # Errors
    /// There is no place to wait, or the node leaves.
    pub(super) async fn for_agent(
        &mut self,
        hold: &Hold,
        is_there: impl FnMut() -> bool,
    ) -> Result<Result<Came, Expired>, Code> {
        let until = self.until();
        self.held(hold, hold.agent(until, is_there)).await
    }

    /// Waits until it makes sense to try the upstream again, as [`Hold::upstream`] does.
    ///
    /// # Errors
    /// There is no place to wait, or the node leaves; `otherwise` when there was nothing in time.
    pub(super) async fn for_upstream(
        &mut self,
        otherwise: Code,
    ) -> Result<Option<OwnedSemaphorePermit>, Code> {
        let until = self.until();
        let refused_until =
            *self.refused_until.get_or_insert_with(|| until.min(Instant::now() + HOLD_REFUSED));
        let hold = self.node.holds.find(self.hostname).ok_or(otherwise)?;
        self.held(&hold, hold.upstream(refused_until)).await?.map_err(|Expired| otherwise)
    }

    /// Waits in a place of its own. A node that leaves gets no agents any more.
    async fn held<T>(&self, hold: &Hold, wait: impl Future<Output = T>) -> Result<T, Code> {
        let _place = self.node.holds.place(hold, self.unread_bytes).ok_or(Code::EndpointBusy)?;
        let mut shutdown = self.node.shutdown.clone();
        tokio::select! {
            biased;
            waited = wait => Ok(waited),
            () = shutdown.draining() => Err(Code::NodeDraining),
        }
    }

    fn until(&mut self) -> Instant {
        *self.until.get_or_insert_with(|| Instant::now() + HOLD_TOTAL)
    }
}
