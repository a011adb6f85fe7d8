//! A directory for tests of what asks it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_authority::{BoxFuture, Changes, Claim, ClaimError, Claimed, Directory, Sequence, Unavailable};
use adit_domain::id::EndpointId;
use adit_domain::{EndpointKind, Epoch, Hostname};

/// Knows no names, never answers about changes, and counts how many ask for a name at once.
#[derive(Default)]
pub(crate) struct Stub {
    asking: AtomicUsize,
    pub(crate) asking_max: AtomicUsize,
}

impl Directory for Stub {
    fn claim(&self, _: Claim) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(async { Err(ClaimError::NotYours) })
    }

    fn release(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn renew(&self, _: EndpointId, _: Epoch) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn kind_of<'a>(&'a self, _: &'a Hostname) -> BoxFuture<'a, Result<Option<EndpointKind>, Unavailable>> {
        Box::pin(async {
            let asking = self.asking.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            self.asking_max.fetch_max(asking, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.asking.fetch_sub(1, Ordering::SeqCst);
            Ok(None)
        })
    }

    fn changes(&self, _: Sequence, _: Duration) -> BoxFuture<'_, Result<Changes, Unavailable>> {
        Box::pin(std::future::pending())
    }
}
