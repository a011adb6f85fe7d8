//! What passes for one request is counted for its endpoint, and for its record in the access log.

use std::sync::Arc;

use super::Meter;
use crate::access::Access;

/// Counts for an endpoint and for one of its requests.
#[derive(Clone, Default)]
pub(crate) struct Count {
    meter: Arc<Meter>,
    access: Access,
}

impl Count {
    pub(crate) const fn new(meter: Arc<Meter>, access: Access) -> Self {
        Self { meter, access }
    }

    /// The request's record.
    pub(crate) const fn access(&self) -> &Access {
        &self.access
    }

    /// An upstream answered the request.
    pub(crate) fn request(&self) {
        self.meter.request();
    }

    /// The connection begins to pass as it is.
    pub(crate) fn connection(&self) {
        self.meter.connection();
    }

    /// Bytes went on to an upstream.
    pub(crate) fn incoming(&self, bytes: usize) {
        self.meter.incoming(bytes);
        self.access.incoming(bytes);
    }

    /// Bytes went on to the visitor.
    pub(crate) fn outgoing(&self, bytes: usize) {
        self.meter.outgoing(bytes);
        self.access.outgoing(bytes);
    }
}
