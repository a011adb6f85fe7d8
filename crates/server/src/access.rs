//! The access log: one record of each request of a visitor, and of each connection or flow that is carried as it is, written
//! when it has ended. docs/access-log.md has its fields.
//!
//! Whoever sees a fact tells it an [`Access`]. While nobody wants the log that is empty, and telling it something is a look at
//! a pointer: no clock is read, nothing is kept and nothing allocated.

mod record;
mod shown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use adit_api::Code;
use adit_domain::id::{RequestId, TenantId};
use adit_domain::{EndpointKind, Hostname, Timestamp};
use adit_process::shutdown::Shutdown;
use http::{Request, StatusCode};

pub(crate) use record::{By, End};

use record::{Begun, Record};

/// What operators name in a filter of the log. The records are of level debug, so `info` leaves them out.
const TARGET: &str = "adit::access";

/// What is told of one request. Clones tell the same record, which is written when the last of them is gone.
#[derive(Clone, Default)]
pub(crate) struct Access(Option<Arc<Record>>);

/// Where records have the time and the end of the node from.
#[derive(Clone, Copy)]
pub(crate) struct Times<'a> {
    pub(crate) clock: &'a (dyn Fn() -> Timestamp + Send + Sync),
    pub(crate) shutdown: &'a Shutdown,
}

impl Access {
    /// A request by HTTP came.
    pub(crate) fn of_request<B>(
        id: RequestId,
        visitor: SocketAddr,
        request: &Request<B>,
        times: Times<'_>,
    ) -> Self {
        Self::begin(|| Begun::request((id, visitor), request.method(), request.uri()), times)
    }

    /// A connection or a flow came.
    pub(crate) fn of_connection(
        id: RequestId,
        visitor: SocketAddr,
        (kind, hostname): (EndpointKind, &Hostname),
        times: Times<'_>,
    ) -> Self {
        let access = Self::begin(|| Begun::connection((id, visitor), kind), times);
        access.for_hostname(hostname);
        access
    }

    fn begin(begun: impl FnOnce() -> Begun, times: Times<'_>) -> Self {
        let is_wanted = tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        Self(is_wanted.then(|| Arc::new(Record::new(begun(), (times.clock)(), times.shutdown.clone()))))
    }

    /// Whether anybody wants to know.
    pub(crate) const fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// It is for this name.
    pub(crate) fn for_hostname(&self, hostname: &Hostname) {
        self.tell(|record| record.facts().hostname = Some(hostname.clone()));
    }

    /// The name is served for this tenant.
    pub(crate) fn for_tenant(&self, tenant: TenantId) {
        self.tell(|record| record.facts().tenant = Some(tenant));
    }

    /// A try to hand it to an agent begins.
    pub(crate) fn tried(&self) {
        self.tell(|record| {
            record.tries.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// It went out on the stream that was opened for this request.
    pub(crate) fn on_stream(&self, opened_for: RequestId) {
        self.tell(|record| record.facts().stream = Some(opened_for));
    }

    /// An upstream has the connection or flow.
    pub(crate) fn reached(&self) {
        self.tell(|record| record.facts().head = Some(record.lasted()));
    }

    /// The head of the response goes to the visitor.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.tell(|record| {
            record.facts().status = Some(status.as_u16());
            self.reached();
        });
    }

    /// Bytes went on to an upstream.
    pub(crate) fn incoming(&self, bytes: usize) {
        self.tell(|record| {
            record.in_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        });
    }

    /// Bytes went on to the visitor.
    pub(crate) fn outgoing(&self, bytes: usize) {
        self.tell(|record| {
            record.out_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        });
    }

    /// The visitor was given all there was to give.
    pub(crate) fn served(&self) {
        self.ended(End::Served);
    }

    /// The node said no.
    pub(crate) fn refused(&self, code: Code) {
        self.ended(End::Refused(code));
    }

    /// It broke off.
    pub(crate) fn cut(&self, by: By) {
        self.ended(End::Cut(by));
    }

    /// How it ended. Who says so first knows best: what follows is what that leads to.
    pub(crate) fn ended(&self, end: impl Into<End>) {
        self.tell(|record| {
            record.facts().end.get_or_insert(end.into());
        });
    }

    /// It is none of a visitor's: no record is written.
    pub(crate) fn leave_out(&self) {
        self.tell(|record| record.facts().is_left_out = true);
    }

    fn tell(&self, fact: impl FnOnce(&Record)) {
        if let Some(record) = &self.0 {
            fact(record);
        }
    }
}
