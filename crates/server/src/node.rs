//! What every part of a running node shares.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adit_api::Code;
use adit_authority::{Admission, Claimed, Directory};
use adit_domain::id::NodeId;
use adit_domain::{EndpointKind, Hostname, Timestamp};
use adit_net::accept::Gate;
use adit_process::shutdown::Shutdown;
use adit_process::tasks::Tasks;
use adit_web::HttpService;

use crate::access::Times;
use crate::clock::Clock;
use crate::flows::Flows;
use crate::handshakes::Handshakes;
use crate::hold::Holds;
use crate::known::KnownNames;
use crate::metering::Meters;
use crate::overload::Overload;
use crate::places::Places;
use crate::ports::Ports;
use crate::registry::Registry;
use crate::resume::Resumable;
use crate::routes::Routes;
use crate::share::Shares;
use crate::trust::Trust;

/// The state of one node. Each part guards itself; no lock is held across an await.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) routes: Routes,
    pub(crate) trust: Trust,
    pub(crate) agents: Registry,
    pub(crate) known: KnownNames,
    /// What tenants and endpoints may use.
    pub(crate) shares: Shares,
    /// What flows of datagrams may use.
    pub(crate) flows: Arc<Flows>,
    /// Whether there is room for new work.
    pub(crate) overload: Arc<Overload>,
    /// How fast agents may come.
    pub(crate) handshakes: Handshakes,
    /// What endpoints carry.
    pub(crate) meters: Arc<Meters>,
    /// The public ports of endpoints that are served here.
    pub(crate) ports: Ports,
    /// Lets connections of visitors and agents in, whichever port they come to.
    pub(crate) gate: Gate,
    /// Connections of visitors, among those that the gate lets in.
    pub(crate) visitors: Arc<Places>,
    pub(crate) holds: Holds,
    /// What was claimed here.
    pub(crate) resumable: Resumable,
    /// Hosts that are not endpoints: the app.
    pub(crate) reserved: HashMap<Hostname, HttpService>,
    pub(crate) mux: adit_mux::Config,
    /// For the times in capabilities and in the access log and the hours of usage, and for nothing else: it may jump.
    pub(crate) clock: Clock,
    /// How long a drain waits for requests in flight.
    pub(crate) drain_deadline: Duration,
    /// How long streams may go on in a session that is worn out.
    pub(crate) rotation_deadline: Duration,
    /// The port in public URLs.
    pub(crate) public_port: u16,
    /// Work on behalf of visitors; a drain waits for it.
    pub(crate) visitor_tasks: Tasks,
    /// Agent sessions; they end after the visitors.
    pub(crate) agent_tasks: Tasks,
    pub(crate) shutdown: Shutdown,
}

impl Node {
    /// The wall-clock time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// What records in the access log need.
    pub(crate) fn times(&self) -> Times<'_> {
        Times { clock: self.clock.as_ref(), shutdown: &self.shutdown }
    }

    /// Why no stream could be opened where all sessions live: whose room it is that is used up.
    pub(crate) fn no_room(&self) -> Code {
        if self.shares.are_used_up() { Code::NodeOverloaded } else { Code::EndpointBusy }
    }

    /// The URL that a person opens, or gives to a program.
    pub(crate) fn public_url(&self, claimed: &Claimed) -> String {
        let Claimed { hostname, kind, port, .. } = claimed;
        match (kind, port, self.public_port) {
            (EndpointKind::Tcp | EndpointKind::Udp, Some(port), _) => {
                format!("{kind}://{}:{port}", resolvable(hostname))
            }
            (EndpointKind::Tls, _, port) => format!("tls://{hostname}:{port}"),
            (_, _, 443) => format!("https://{hostname}"),
            (_, _, port) => format!("https://{hostname}:{port}"),
        }
    }
}

/// Browsers find the names below `localhost`; most other programs find only itself. Where the port alone leads to the
/// endpoint, that is the better name.
fn resolvable(hostname: &Hostname) -> &str {
    if hostname.as_str().ends_with(".localhost") { "localhost" } else { hostname.as_str() }
}

/// A duration as the wire writes it.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
