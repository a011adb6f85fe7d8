//! An endpoint begins and ends to be served here: its route, and the public port that it may have.

use std::sync::Arc;

use adit_authority::Claimed;
use adit_domain::EndpointKind;
use adit_domain::id::SessionId;
use tokio::time::{interval, timeout};

use crate::limits::{CLAIM_DEADLINE, PORT_RENEWAL_INTERVAL};
use crate::node::Node;
use crate::ports::{OpenError, Site};
use crate::visitor::raw;

/// Lets visitors in: opens the port of an endpoint that has one. Its route is there already.
pub(crate) async fn open(node: &Arc<Node>, claimed: &Claimed) -> Result<(), OpenError> {
    let (EndpointKind::Tcp, Some(port)) = (claimed.kind, claimed.port) else { return Ok(()) };
    let site = Site { name: "tcp visitor", gate: node.gate.clone(), tasks: node.visitor_tasks.clone() };
    let (on, hostname) = (Arc::clone(node), claimed.hostname.clone());
    let serve = move |accepted| raw::serve(Arc::clone(&on), hostname.clone(), accepted);
    node.ports.open(claimed.endpoint, port, site, serve).await
}

/// Takes the tunnel of one session off an endpoint, and closes its port with the last. Returns whether it was the last.
pub(crate) fn end(node: &Node, claimed: &Claimed, session: SessionId) -> bool {
    let is_last = node.routes.unbind(claimed, session);
    node.ports.close_unless(claimed.endpoint, || {
        node.routes.get(&claimed.hostname).is_some_and(|route| route.endpoint() == claimed.endpoint)
    });
    is_last
}

/// Tells the directory from time to time that the ports which are served here are in use.
pub(crate) async fn renew(node: Arc<Node>) {
    let mut shutdown = node.shutdown.clone();
    let mut ticks = interval(PORT_RENEWAL_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopped() => return,
            _ = ticks.tick() => {}
        }
        for claimed in node.routes.claimed().into_iter().filter(|claimed| claimed.port.is_some()) {
            let renewed = timeout(CLAIM_DEADLINE, node.directory.renew(claimed.endpoint, claimed.epoch));
            match renewed.await {
                Ok(Ok(())) => {}
                // There is time for many more tries.
                Ok(Err(error)) => {
                    tracing::warn!(%error, endpoint = %claimed.endpoint, "a port was not renewed");
                }
                Err(_) => tracing::warn!(endpoint = %claimed.endpoint, "a port was not renewed in time"),
            }
        }
    }
}
