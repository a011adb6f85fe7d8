//! One visitor's connection whose bytes are carried as they are, from its first byte to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_api::Code;
use adit_domain::id::RequestId;
use adit_mux::{PumpEnd, PumpLimits, Traffic, pump};
use adit_net::accept::Accepted;
use adit_net::io::{Guarded, Socket};

pub(crate) use super::connecting::Target;

use super::connecting::{Connected, Connecting};
use crate::access::Access;
use crate::metering::CountedIo;
use crate::node::Node;

/// Nobody serves the endpoint, and nothing was said to the visitor yet. Dropped, it is reset.
pub(crate) struct Unserved<T: Socket>(pub(crate) Guarded<T>);

/// Serves a connection on the port of a tcp endpoint. Whatever goes wrong, the visitor sees a reset: there is no other
/// word in TCP.
pub(crate) async fn serve(node: Arc<Node>, target: Target, accepted: Accepted) {
    let Accepted { stream, peer, permit } = accepted;
    let Ok(place) = node.visitors.take() else {
        adit_net::socket::reset_on_drop(&stream);
        return tracing::debug!(%peer, "the node has as many visitors as it may");
    };
    drop(carry(&node, &target, stream, peer).await);
    // Until here the connection had its places among the node's.
    drop((permit, place));
}

/// Carries a connection to whoever serves the endpoint, both ways, until both have ended. While an agent is expected back
/// the connection waits, unread.
///
/// # Errors
/// [`Unserved`]. Whatever else goes wrong resets the connection.
pub(crate) async fn carry<T: Socket>(
    node: &Arc<Node>,
    target: &Target,
    visitor: T,
    peer: SocketAddr,
) -> Result<(), Unserved<T>> {
    let id = RequestId::new();
    let access = Access::of_connection(id, peer, target.kind_and_hostname(), node.times());
    let mut visitor = Guarded::new(visitor);
    match carried(node, target, visitor.io(), (peer, id, &access)).await {
        Ok(end) => {
            access.ended(end);
            tracing::debug!(%id, %peer, ?end, "a visitor's connection ended");
            if matches!(end, PumpEnd::Complete | PumpEnd::Unread) {
                visitor.complete();
            }
        }
        Err(code) => {
            access.refused(code);
            tracing::debug!(%id, %peer, %code, "a visitor's connection leads nowhere");
            if code == Code::AgentOffline {
                return Err(Unserved(visitor));
            }
        }
    }
    Ok(())
}

async fn carried<T: Socket>(
    node: &Arc<Node>,
    target: &Target,
    visitor: &mut T,
    of: (SocketAddr, RequestId, &Access),
) -> Result<PumpEnd, Code> {
    if node.overload.sheds(&node.gate) {
        return Err(Code::NodeOverloaded);
    }
    // Boxed: what is needed until there is a stream is not kept beside it.
    let Connected { stream, count, weight, seat } = Box::pin(Connecting::new(node, target, of).run()).await?;
    let mut visitor = CountedIo::new(visitor, count);
    let end = pump(stream, &mut visitor, PumpLimits::of_server(), &Traffic::default()).await;
    drop((weight, seat));
    Ok(end)
}
