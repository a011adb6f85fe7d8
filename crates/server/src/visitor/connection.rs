//! What is known of a visitor's connection before its first request.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use adit_domain::Hostname;
use adit_net::accept::ConnectionPermit;
use adit_web::hygiene::Scheme;

use super::upstream::Upstream;
use crate::routes::Route;
use crate::share::Place;

/// One connection of a visitor.
pub(crate) struct VisitorConnection {
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    /// The name in the TLS handshake; none for plain HTTP.
    pub(crate) opened_for: Option<Hostname>,
    /// Its places among the connections of the node and, where the TLS handshake told whose it is, of the tenant.
    _places: (ConnectionPermit, Option<Place>),
    /// The upstream connection that an authentication scheme tied to this visitor.
    pinned: Mutex<Option<Upstream>>,
}

impl VisitorConnection {
    pub(crate) fn new(
        peer: SocketAddr,
        scheme: Scheme,
        opened_for: Option<Hostname>,
        places: (ConnectionPermit, Option<Place>),
    ) -> Self {
        Self { peer, scheme, opened_for, _places: places, pinned: Mutex::new(None) }
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
