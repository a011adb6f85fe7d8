//! One visitor's connection whose bytes are carried as they are, from its first byte to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::Hostname;
use adit_domain::id::RequestId;
use adit_mux::{PumpEnd, PumpLimits, Traffic, pump};
use adit_net::accept::Accepted;
use adit_net::io::{Guarded, Socket};

use super::search::open_stream;
use crate::choice::{Choice, Known};
use crate::metering::CountedIo;
use crate::node::Node;
use crate::share::{Entry, Refused};

/// Serves a connection on the port of a tcp endpoint. Whatever goes wrong, the visitor sees a reset: there is no other
/// word in TCP.
pub(crate) async fn serve(node: Arc<Node>, hostname: Hostname, accepted: Accepted) {
    let Accepted { stream, peer, permit } = accepted;
    carry(&node, &hostname, stream, peer).await;
    // Until here the connection had its place among the node's.
    drop(permit);
}

/// Carries a connection to whoever serves `hostname`, both ways, until both have ended.
pub(crate) async fn carry<T: Socket>(node: &Arc<Node>, hostname: &Hostname, visitor: T, peer: SocketAddr) {
    let id = RequestId::new();
    let mut visitor = Guarded::new(visitor);
    match carried(node, hostname, visitor.io(), (peer, id)).await {
        Ok(end) => {
            tracing::debug!(%id, %peer, ?end, "a visitor's connection ended");
            if matches!(end, PumpEnd::Complete | PumpEnd::Unread) {
                visitor.complete();
            }
        }
        Err(code) => tracing::debug!(%id, %peer, %code, "a visitor's connection leads nowhere"),
    }
}

async fn carried<T: Socket>(
    node: &Arc<Node>,
    hostname: &Hostname,
    visitor: &mut T,
    (peer, id): (SocketAddr, RequestId),
) -> Result<PumpEnd, Code> {
    if node.overload.sheds(&node.gate) {
        return Err(Code::NodeOverloaded);
    }
    let route = node.routes.get(hostname).ok_or(Code::AgentOffline)?;
    let _place = match route.share.connection(std::time::Instant::now()) {
        Ok(Entry::Served(place)) => place,
        Ok(Entry::Told(_)) | Err(Refused::NoPlace(_)) => return Err(Code::EndpointBusy),
        Err(Refused::TooOften) => return Err(Code::EndpointFlooded),
    };
    let mut choice = Choice::of(Known { address: Some(peer.ip()), mark: None });
    let stream = open_stream(node, &route, &mut choice, peer, id).await?;
    let mut visitor = CountedIo::new(visitor, Arc::clone(&route.meter));
    Ok(pump(stream, &mut visitor, PumpLimits::of_server(), &Traffic::default()).await)
}
