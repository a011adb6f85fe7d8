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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use adit_authority::Claimed;
    use adit_domain::id::EndpointId;
    use adit_domain::{EndpointKind, Epoch, Hostname};

    use super::Releases;
    use crate::builder::Builder;
    use crate::limits::RELEASES_IN_FLIGHT_MAX;
    use crate::stub::Stub;

    fn claimed(n: usize) -> Claimed {
        let hostname = Hostname::parse(&format!("n{n}.example")).unwrap();
        let (endpoint, kind, epoch) = (EndpointId::new(), EndpointKind::Http, Epoch(1));
        Claimed { endpoint, hostname, kind, epoch, port: None }
    }

    #[tokio::test]
    async fn the_directory_is_told_of_so_many_at_once_and_of_more_when_it_has_answered() {
        const MAX: usize = RELEASES_IN_FLIGHT_MAX;
        for (given_back, told) in [(MAX - 1, MAX - 1), (MAX, MAX), (MAX + 1, MAX)] {
            let directory = Arc::new(Stub::default());
            let (node, _trigger) =
                Builder::new(directory.clone(), Arc::new(Stub::default())).build().into_node();
            let mut releases = Releases::default();
            releases.start(&node, (0..given_back).map(claimed).collect());
            releases.finish().await;
            assert_eq!(directory.released.load(Ordering::SeqCst), told);
            releases.start(&node, vec![claimed(given_back)]);
            releases.finish().await;
            assert_eq!(directory.released.load(Ordering::SeqCst), told + 1);
        }
    }
}
