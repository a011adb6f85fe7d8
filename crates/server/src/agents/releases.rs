//! Endpoints that one session has given back, on their way to the directory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use adit_authority::Claimed;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::timeout;

use crate::limits::{CLAIM_DEADLINE, RELEASES_IN_FLIGHT_MAX};
use crate::node::Node;

/// The releases in flight. A directory that is slow or away keeps nothing else of the session waiting: they run beside it,
/// inside its own task.
#[derive(Default)]
pub(super) struct Releases {
    waiting: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Releases {
    /// Tells the directory that these are not served. Where too many wait it is not told: whoever claims one of them next
    /// takes it over.
    pub(super) fn start(&self, node: &Arc<Node>, claimed: Vec<Claimed>) {
        for claimed in claimed {
            node.resumable.given_back(&claimed);
            if self.waiting.len() >= RELEASES_IN_FLIGHT_MAX {
                tracing::warn!(hostname = %claimed.hostname, "too many endpoints are given back at once");
                continue;
            }
            self.waiting.push(Box::pin(released(Arc::clone(node), claimed)));
        }
    }

    /// Waits until one is done; for ever while none is in flight.
    pub(super) async fn next(&mut self) {
        if self.waiting.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets them go on, without an end.
    pub(super) async fn advance(&mut self) -> Infallible {
        loop {
            self.next().await;
        }
    }

    /// Waits until all are done, which each is within [`CLAIM_DEADLINE`].
    pub(super) async fn finish(&mut self) {
        while self.waiting.next().await.is_some() {}
    }
}

async fn released(node: Arc<Node>, claimed: Claimed) {
    let Claimed { endpoint, hostname, epoch, .. } = claimed;
    match timeout(CLAIM_DEADLINE, node.directory.release(endpoint, epoch)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, %hostname, "an endpoint was not released"),
        Err(_) => tracing::warn!(%hostname, "an endpoint was not released in time"),
    }
}
