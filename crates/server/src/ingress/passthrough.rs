//! Which TLS connections are not the node's to terminate: those for endpoints whose agents hold the key.

use adit_domain::{EndpointKind, Hostname};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::node::Node;

/// Who speaks TLS with a visitor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Passthrough {
    /// The node.
    No,
    /// Whoever is behind the agent of this endpoint.
    To(Hostname),
    /// It is not the node's to do, and nobody else is there.
    Nobody,
}

/// A fatal alert in the clear, `internal_error` (RFC 8446, section 6.2): what a server says that cannot go on.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Decides by the name in the handshake. The name of an endpoint without an agent is asked for: under the name of a
/// passthrough endpoint the node must not answer, for a visitor would tell it what is meant for the agent's side.
pub(super) async fn of(node: &Node, name: Option<&Hostname>, deadline: Instant) -> Passthrough {
    let Some(name) = name.filter(|name| !node.reserved.contains_key(*name)) else { return Passthrough::No };
    if let Some(route) = node.routes.get(name) {
        return match route.claimed.kind {
            EndpointKind::Tls => Passthrough::To(name.clone()),
            EndpointKind::Http | EndpointKind::Tcp | EndpointKind::Udp => Passthrough::No,
        };
    }
    match timeout_at(deadline, node.known.kind_of(node.directory.as_ref(), name)).await {
        Ok(Ok(None | Some(EndpointKind::Http | EndpointKind::Tcp | EndpointKind::Udp))) => Passthrough::No,
        Ok(Ok(Some(EndpointKind::Tls))) => awaited(node, name),
        Ok(Err(_)) | Err(_) => match node.resumable.kind_of(name) {
            Some(EndpointKind::Http | EndpointKind::Tcp | EndpointKind::Udp) => Passthrough::No,
            Some(EndpointKind::Tls) => awaited(node, name),
            // Where nobody knows it may be one, too: saying nothing is the safe answer.
            None => Passthrough::Nobody,
        },
    }
}

/// A passthrough endpoint without an agent: if that is expected back, its visitors wait.
fn awaited(node: &Node, name: &Hostname) -> Passthrough {
    let hold = node.holds.find(name).or_else(|| node.holds.after_restart(name));
    // It may be back since it was looked for.
    if hold.is_some_and(|hold| hold.is_vacant()) || node.routes.get(name).is_some() {
        Passthrough::To(name.clone())
    } else {
        Passthrough::Nobody
    }
}

/// Tells the visitor that there is no TLS to be had here.
pub(super) async fn refuse(mut stream: impl AsyncWrite + Unpin, deadline: Instant) {
    let told = async {
        stream.write_all(&ALERT).await?;
        stream.shutdown().await
    };
    // Whoever does not take seven bytes needs no answer.
    let _ = timeout_at(deadline, told).await;
}
