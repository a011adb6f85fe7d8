//! Endpoints that were removed since the node began.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use adit_authority::Claimed;
use adit_domain::Epoch;
use adit_domain::id::EndpointId;

use crate::limits::REMOVED_ENDPOINTS_MAX;

/// The epoch from which on each may be served again. A claim may have been granted before its endpoint was removed, and
/// arrive after the node has heard of that.
#[derive(Default)]
pub(super) struct Removed {
    since: Mutex<HashMap<EndpointId, Epoch>>,
}

impl Removed {
    pub(super) fn note(&self, endpoint: EndpointId, before: Epoch) {
        let mut since = self.lock();
        if since.len() >= REMOVED_ENDPOINTS_MAX {
            // Whatever was granted before those were removed has long been served, and ended, or never was.
            since.clear();
        }
        let held = since.entry(endpoint).or_insert(before);
        *held = before.max(*held);
    }

    /// Whether what was claimed is of before its endpoint was removed.
    pub(super) fn voids(&self, claimed: &Claimed) -> bool {
        self.lock().get(&claimed.endpoint).is_some_and(|before| claimed.epoch < *before)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Epoch>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_authority::Claimed;
    use adit_domain::id::EndpointId;
    use adit_domain::{EndpointKind, Epoch, Hostname};

    use super::Removed;
    use crate::limits::REMOVED_ENDPOINTS_MAX;

    fn claimed(endpoint: EndpointId, epoch: u64) -> Claimed {
        let hostname = Hostname::parse("one.example").unwrap();
        Claimed { endpoint, hostname, kind: EndpointKind::Http, epoch: Epoch(epoch), port: None }
    }

    #[test]
    fn what_was_granted_before_is_void() {
        let (removed, endpoint) = (Removed::default(), EndpointId::new());
        removed.note(endpoint, Epoch(6));
        removed.note(endpoint, Epoch(5));
        for (epoch, is_void) in [(5, true), (6, false), (7, false)] {
            assert_eq!(removed.voids(&claimed(endpoint, epoch)), is_void, "{epoch}");
        }
        assert!(!removed.voids(&claimed(EndpointId::new(), 1)));
    }

    #[test]
    fn it_remembers_so_many() {
        let removed = Removed::default();
        for noted in 1..=REMOVED_ENDPOINTS_MAX {
            removed.note(EndpointId::new(), Epoch(1));
            assert_eq!(removed.lock().len(), noted);
        }
        removed.note(EndpointId::new(), Epoch(1));
        assert_eq!(removed.lock().len(), 1);
    }
}
