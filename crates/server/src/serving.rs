//! An endpoint begins and ends to be served here: its route, and the public port that it may have.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, InstanceId, SessionId};
use adit_domain::{EndpointKind, Epoch, Hostname};
use adit_net::accept::AcceptLoop;
use adit_net::listen::{self, BindError};
use adit_process::shutdown::Shutdown;
use adit_wire::control::UnbindReason;
use tokio::time::{interval, timeout};

use crate::hold::Holds;
use crate::limits::{CLAIM_DEADLINE, PORT_RENEWAL_INTERVAL};
use crate::node::Node;
use crate::ports::OpenError;
use crate::registry::Loss;
use crate::visitor::raw::{self, Target};
use crate::visitor::udp::Port;

/// Lets visitors in: opens the port of an endpoint that has one. Its route is there already.
pub(crate) async fn open(node: &Arc<Node>, claimed: &Claimed) -> Result<(), OpenError> {
    let Some(port) = claimed.port else { return Ok(()) };
    let (endpoint, tasks) = (claimed.endpoint, &node.visitor_tasks);
    let (of_node, claimed) = (Arc::clone(node), claimed.clone());
    match claimed.kind {
        EndpointKind::Http | EndpointKind::Tls => Ok(()),
        EndpointKind::Tcp => {
            let listen = move |address, shutdown| accepting(&of_node, &claimed, address, shutdown);
            node.ports.open(endpoint, port, tasks, listen).await
        }
        EndpointKind::Udp => {
            let listen = move |address, shutdown| {
                let socket = adit_net::udp::bind(address)?;
                Ok(Port::new(Arc::clone(&of_node), claimed.hostname.clone(), socket).run(shutdown))
            };
            node.ports.open(endpoint, port, tasks, listen).await
        }
    }
}

/// Takes the connections at a tcp endpoint's port.
fn accepting(
    node: &Arc<Node>,
    claimed: &Claimed,
    address: SocketAddr,
    shutdown: Shutdown,
) -> Result<impl Future<Output = ()> + Send + use<>, BindError> {
    let (gate, tasks) = (node.gate.clone(), node.visitor_tasks.clone());
    let accepting = AcceptLoop { name: "tcp visitor", listener: listen::bind(address)?, gate, tasks };
    let (on, target) = (Arc::clone(node), Target::Port(claimed.hostname.clone(), claimed.endpoint));
    Ok(accepting.run(shutdown, move |accepted| raw::serve(Arc::clone(&on), target.clone(), accepted)))
}

/// How an endpoint lost its last tunnel, for those who wait for it.
pub(crate) type Lost = fn(&Holds, &Hostname);

/// Takes the tunnel of one session off an endpoint, and closes its port with the last: later, if the agent is expected
/// back. Returns whether it was the last.
pub(crate) fn end(node: &Arc<Node>, claimed: &Claimed, session: SessionId, lost: Lost) -> bool {
    let is_last = node.routes.unbind(claimed, session, || lost(&node.holds, &claimed.hostname));
    ended(node, claimed, is_last)
}

/// The same with all tunnels of one agent: it says that it leaves, over one of its sessions.
pub(crate) fn end_agent(node: &Arc<Node>, claimed: &Claimed, instance: InstanceId, lost: Lost) -> bool {
    let is_last = node.routes.unbind_agent(claimed, instance, || lost(&node.holds, &claimed.hostname));
    ended(node, claimed, is_last)
}

fn ended(node: &Arc<Node>, claimed: &Claimed, is_last: bool) -> bool {
    close_port(node, claimed);
    if is_last && is_awaited(node, claimed) {
        drop(node.visitor_tasks.spawn("held port", close_port_later(Arc::clone(node), claimed.clone())));
    }
    is_last
}

/// A route gave way to a newer one of the same name, which may be of another kind or at another port.
pub(crate) fn replaced(node: &Node, claimed: &Claimed) {
    close_port(node, claimed);
}

fn close_port(node: &Node, claimed: &Claimed) {
    let is_served = || {
        let route = node.routes.get(&claimed.hostname);
        let at = |claimed: &Claimed| (claimed.endpoint, claimed.kind, claimed.port);
        route.is_some_and(|route| at(&route.claimed) == at(claimed))
    };
    node.ports.close_unless(claimed.endpoint, || is_served() || is_awaited(node, claimed));
}

/// Whether visitors may come although nobody serves the endpoint: they wait. Datagrams do not.
fn is_awaited(node: &Node, claimed: &Claimed) -> bool {
    let hold = Some(claimed).filter(|claimed| claimed.kind == EndpointKind::Tcp);
    hold.and_then(|claimed| node.holds.find(&claimed.hostname)).is_some_and(|hold| hold.is_vacant())
}

/// Whoever serves the endpoint next has opened its port then, or its agent has not come back.
async fn close_port_later(node: Arc<Node>, claimed: Claimed) {
    let mut shutdown = node.shutdown.clone();
    if let Some(hold) = node.holds.find(&claimed.hostname) {
        tokio::select! {
            () = hold.settled() => {}
            () = shutdown.draining() => {}
        }
    }
    close_port(&node, &claimed);
}

/// An endpoint was removed: nobody serves it in an epoch before this one any more, and their agents are told. What is in
/// flight goes on.
pub(crate) fn removed(node: &Node, endpoint: EndpointId, before: Epoch) {
    let resumable = node.resumable.removed(endpoint, before);
    let Some(route) = node.routes.remove(endpoint, before, |hostname| node.holds.released(hostname)) else {
        // Its agent may be away for a moment: nobody waits for it any longer.
        let awaited = resumable.filter(|claimed| node.routes.get(&claimed.hostname).is_none());
        return awaited.iter().for_each(|claimed| node.holds.released(&claimed.hostname));
    };
    let Claimed { hostname, epoch, .. } = &route.claimed;
    close_port(node, &route.claimed);
    for tunnel in route.tunnels() {
        tunnel.pool.clear();
        tunnel.commands.lose(Loss { endpoint, epoch: *epoch, reason: UnbindReason::EndpointRemoved });
    }
    tracing::info!(%hostname, "the endpoint was removed");
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
