//! What the control plane is told about its installation.

use std::fmt;
use std::sync::Arc;

use adit_api::capability::NodeAddress;
use adit_domain::{Hostname, PortRange, Timestamp};

/// What the control plane is told about its installation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Endpoints are one label below this name.
    pub domain: Hostname,
    /// Names below it that no tenant may have, such as the app's host.
    pub reserved: Vec<Hostname>,
    /// The public ports of tcp endpoints. None: there are no such endpoints.
    pub tcp_ports: Option<PortRange>,
    /// The public ports of udp endpoints, apart from those: a number may be in both. None: there are no such endpoints.
    pub udp_ports: Option<PortRange>,
    /// The nodes that agents dial, in order of preference.
    pub nodes: Vec<NodeAddress>,
    /// PEM certificates that the nodes' certificates lead to. Empty: those that the exchange was made over.
    pub trust_roots: Vec<String>,
}

/// Tells the time. An argument, so that tests need not wait for a capability to end.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The wall clock of this machine.
    #[must_use]
    pub fn wall() -> Self {
        Self::new(|| Timestamp::from_micros(adit_process::clock::wall_micros()))
    }

    /// A clock that shows what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
