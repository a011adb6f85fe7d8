//! A connection that comes through a load balancer, until it has said whom it comes from.

use std::net::SocketAddr;

use adit_process::shutdown::Shutdown;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{Accepted, Gate, refuse};
use crate::connection::Connection;
use crate::limits::PROXY_HEADER_DEADLINE;
use crate::proxy_protocol::{self, ReadError, Source};

/// A connection from a trusted address. It has a place among all connections; whom else it counts for is not known yet.
pub(super) struct Fronted<S> {
    pub(super) stream: S,
    pub(super) front: SocketAddr,
    pub(super) place: OwnedSemaphorePermit,
}

impl<S: Connection> Fronted<S> {
    /// Reads the header, and lets whoever it names through the gate like anybody. Nothing comes of a connection without
    /// one, and of one that would keep a drain waiting.
    pub(super) async fn introduced(self, gate: &Gate, mut draining: Shutdown) -> Option<Accepted<S>> {
        let Self { mut stream, front, place } = self;
        stream.tune();
        let read = timeout(PROXY_HEADER_DEADLINE, proxy_protocol::read(&mut stream));
        let read = tokio::select! {
            read = read => read,
            () = draining.draining() => return None,
        };
        match read {
            Ok(Ok(Source::Visitor(peer))) => {
                let Some(permit) = gate.admit(peer.ip(), place) else {
                    refuse(&stream, peer);
                    return None;
                };
                Some(Accepted { stream, peer, permit })
            }
            Ok(Ok(Source::Unknown)) => {
                Some(Accepted { stream, peer: front, permit: gate.admit_front(place) })
            }
            Ok(Err(ReadError::Nothing)) => {
                tracing::debug!(%front, "a load balancer looked whether this port is open");
                None
            }
            Ok(Err(error)) => {
                stream.reset_on_drop();
                tell(gate, front, &reason(&error));
                None
            }
            Err(_elapsed) => {
                stream.reset_on_drop();
                tell(gate, front, "the header did not arrive in time");
                None
            }
        }
    }
}

fn reason(error: &ReadError) -> String {
    match error {
        ReadError::Io(source) => format!("{error}: {source}"),
        error => error.to_string(),
    }
}

/// The first of them, then ever more rarely: a load balancer that is set up wrongly sends every visitor like this.
fn tell(gate: &Gate, front: SocketAddr, reason: &str) {
    let in_all = gate.count_unintroduced();
    if in_all.is_power_of_two() {
        tracing::warn!(%front, reason, in_all, "a trusted load balancer did not say whom a connection comes from");
    } else {
        tracing::debug!(%front, reason, "a trusted load balancer did not say whom a connection comes from");
    }
}
