//! What is known of a visitor's connection before its first request.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use adit_domain::Hostname;
use adit_net::accept::ConnectionPermit;
use adit_web::hygiene::Scheme;

use super::upstream::Upstream;
use crate::routes::Route;

/// One connection of a visitor.
pub(crate) struct VisitorConnection {
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    /// The name in the TLS handshake; none for plain HTTP.
    pub(crate) opened_for: Option<Hostname>,
    /// Its place among the node's connections.
    _permit: ConnectionPermit,
    /// The upstream connection that an authentication scheme tied to this visitor.
    pinned: Mutex<Option<Upstream>>,
}

impl VisitorConnection {
    pub(crate) fn new(
        peer: SocketAddr,
        scheme: Scheme,
        opened_for: Option<Hostname>,
        permit: ConnectionPermit,
    ) -> Self {
        Self { peer, scheme, opened_for, _permit: permit, pinned: Mutex::new(None) }
    }

    /// Ties an upstream connection to this visitor: nobody else will use it.
    pub(super) fn pin(&self, upstream: Upstream) {
        *self.pinned.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
    }

    /// The tied connection, if it is free and leads where `route` does: a visitor may ask for several endpoints over
    /// one connection.
    pub(super) fn pinned(&self, route: &Route) -> Option<Upstream> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.take_if(|upstream| upstream.serves(route))
    }
}
