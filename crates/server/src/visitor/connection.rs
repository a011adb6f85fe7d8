//! What is known of a visitor's connection before its first request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use adit_domain::Hostname;
use adit_net::accept::ConnectionPermit;
use adit_web::hygiene::Scheme;
use tokio::sync::Notify;

use super::upstream::Upstream;
use crate::places::Place;
use crate::routes::Route;
use crate::share::Entry;

/// The places that a visitor's connection has until it ends.
pub(crate) struct Admission {
    _of_node: ConnectionPermit,
    _of_visitors: Place,
    of_tenant: Option<Entry>,
}

impl Admission {
    /// Places among the connections of the node, among those of visitors and, where the TLS handshake told whose it is, of
    /// the tenant.
    pub(crate) const fn new(node: ConnectionPermit, visitors: Place, tenant: Option<Entry>) -> Self {
        Self { _of_node: node, _of_visitors: visitors, of_tenant: tenant }
    }
}

/// One connection of a visitor.
pub(crate) struct VisitorConnection {
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    /// The name in the TLS handshake; none for plain HTTP.
    pub(crate) opened_for: Option<Hostname>,
    places: Admission,
    /// The upstream connection that an authentication scheme tied to this visitor.
    pinned: Mutex<Option<Upstream>>,
    is_leaving: AtomicBool,
    leaving: Notify,
}

impl VisitorConnection {
    pub(crate) fn new(
        peer: SocketAddr,
        scheme: Scheme,
        opened_for: Option<Hostname>,
        places: Admission,
    ) -> Self {
        let (is_leaving, leaving) = (AtomicBool::new(false), Notify::new());
        Self { peer, scheme, opened_for, places, pinned: Mutex::new(None), is_leaving, leaving }
    }

    /// Whether its tenant has as many connections as it may, so that this one is only told so.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.places.of_tenant, Some(Entry::Told(_)))
    }

    /// Ends the connection with what is in flight on it.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
        self.leaving.notify_one();
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Waits until the connection is to end. For one waiter.
    pub(crate) async fn left(&self) {
        self.leaving.notified().await;
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
