//! A node is put together from the parts that it needs, and run until it is told to drain.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::STREAM_BYTES_MAX;
use adit_authority::{Admission, Directory, Unavailable, Usage};
use adit_domain::id::NodeId;
use adit_domain::{Hostname, Timestamp};
use adit_mux::Budget;
use adit_net::accept::ConnectionLimits;
use adit_net::listen::Listen;
use adit_net::network::Network;
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::{TaskError, Tasks};
use adit_web::HttpService;
use rustls::server::ResolvesServerCert;
use thiserror::Error;
use tokio::time::Instant;

use crate::clock::{Clock, wall_clock};
use crate::flows::Flows;
use crate::follow;
use crate::handshakes::Handshakes;
use crate::hold::Holds;
use crate::ingress::{self, Public};
use crate::known::KnownNames;
use crate::limits::{
    AGENTS_OF_CONNECTIONS_PERCENT, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, DRAIN_DEADLINE,
    ROTATION_DEADLINE, SESSIONS_END_DEADLINE, STREAMS_OF_MEMORY_PERCENT, VISITORS_OF_CONNECTIONS_PERCENT,
};
use crate::metering::{Keeping, SpoolError};
use crate::node::Node;
use crate::overload::Ceilings;
use crate::places::Places;
use crate::ports::Ports;
use crate::registry::Registry;
use crate::resume::Resumable;
use crate::routes::Routes;
use crate::share::Shares;
use crate::trust::Trust;
use crate::upkeep::Upkeep;

/// Collects the parts of a node.
pub struct Builder {
    directory: Arc<dyn Directory>,
    admission: Arc<dyn Admission>,
    reserved: HashMap<Hostname, HttpService>,
    public_port: u16,
    ports_ip: IpAddr,
    mux: Option<adit_mux::Config>,
    clock: Clock,
    metering: Option<(Arc<dyn Usage>, PathBuf)>,
    memory_bytes_max: Option<u64>,
    connections: ConnectionLimits,
    drain_deadline: Duration,
    rotation_deadline: Duration,
    trusted_proxies: Vec<Network>,
}

/// Why a node did not start, or ended early.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The control plane could not say which keys to trust.
    #[error("the node could not learn which keys to trust")]
    Directory(#[from] Unavailable),
    /// The certificates cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] adit_net::tls::TlsConfigError),
    /// What endpoints carry cannot be kept.
    #[error("usage cannot be kept")]
    Metering(#[from] SpoolError),
    /// A part that it cannot do without failed while it ran.
    #[error("a part of the node failed")]
    Upkeep(#[source] TaskError),
}

/// A node, ready to run.
pub struct Server {
    node: Arc<Node>,
    sessions: Trigger,
    metering: Option<(Arc<dyn Usage>, PathBuf)>,
    ceilings: Ceilings,
}

impl Builder {
    /// A node that asks these two.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, admission: Arc<dyn Admission>) -> Self {
        Self {
            directory,
            admission,
            reserved: HashMap::new(),
            public_port: 443,
            ports_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            mux: None,
            clock: Arc::new(wall_clock),
            metering: None,
            memory_bytes_max: None,
            connections: ConnectionLimits {
                connections_max: CONNECTIONS_MAX,
                per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            },
            drain_deadline: DRAIN_DEADLINE,
            rotation_deadline: ROTATION_DEADLINE,
            trusted_proxies: Vec::new(),
        }
    }

    /// Requests for `host` go to `service`, and no endpoint can ever have this name here.
    #[must_use]
    pub fn reserve(mut self, host: Hostname, service: HttpService) -> Self {
        self.reserved.insert(host, service);
        self
    }

    /// The port in public URLs, where it is not 443.
    #[must_use]
    pub const fn public_port(mut self, port: u16) -> Self {
        self.public_port = port;
        self
    }

    /// What holds for every agent session, the memory for their streams among it: without this that is a share of the
    /// memory that the process may use.
    #[must_use]
    pub fn sessions(mut self, mux: adit_mux::Config) -> Self {
        self.mux = Some(mux);
        self
    }

    /// How long a drain waits for requests in flight, where it is not [`DRAIN_DEADLINE`].
    #[must_use]
    pub const fn drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain_deadline = deadline;
        self
    }

    /// How long streams may go on in a session that is worn out, where it is not [`ROTATION_DEADLINE`].
    #[must_use]
    pub const fn rotation_deadline(mut self, deadline: Duration) -> Self {
        self.rotation_deadline = deadline;
        self
    }

    /// The wall clock, where it is not the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reports what endpoints carry, and keeps in `folder` what was not reported yet. Without it nothing is reported.
    #[must_use]
    pub fn metering(mut self, usage: Arc<dyn Usage>, folder: PathBuf) -> Self {
        self.metering = Some((usage, folder));
        self
    }

    /// The address at which it listens on the public ports of endpoints; without this, every IPv4 address.
    #[must_use]
    pub const fn ports_at(mut self, ip: IpAddr) -> Self {
        self.ports_ip = ip;
        self
    }

    /// Load balancers in these networks stand before the node: each of their connections begins with a header of the PROXY
    /// protocol, and whoever that names is the visitor or agent. Nobody else is believed one.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: Vec<Network>) -> Self {
        self.trusted_proxies = networks;
        self
    }

    /// The memory that this process may use, in bytes, where it is not what its control group or the machine gives.
    #[must_use]
    pub const fn memory_max(mut self, bytes: u64) -> Self {
        self.memory_bytes_max = Some(bytes);
        self
    }

    /// How many connections one source address may have, where it is not [`CONNECTIONS_PER_ADDRESS_MAX`].
    #[must_use]
    pub const fn connections_per_address(mut self, max: u32) -> Self {
        self.connections.per_address_max = max;
        self
    }

    /// How many connections there may be in all, where it is not [`CONNECTIONS_MAX`]. Visitors and agents have a share of
    /// them each.
    #[must_use]
    pub const fn connections(mut self, max: usize) -> Self {
        self.connections.connections_max = max;
        self
    }

    /// The node.
    #[must_use]
    pub fn build(self) -> Server {
        let (sessions, shutdown) = Shutdown::new();
        let ceilings = Ceilings::find(self.memory_bytes_max);
        let mux = self.mux.unwrap_or_else(|| sessions_within(ceilings.memory_bytes));
        let gate = ingress::gate(ceilings.descriptors, self.connections, &self.trusted_proxies);
        let of_connections = |percent: usize| gate.limits().connections_max.saturating_mul(percent) / 100;
        let node = Node {
            id: NodeId::new(),
            directory: self.directory,
            admission: self.admission,
            routes: Routes::default(),
            trust: Trust::default(),
            agents: Registry::new(of_connections(AGENTS_OF_CONNECTIONS_PERCENT)),
            visitors: Places::new(of_connections(VISITORS_OF_CONNECTIONS_PERCENT)),
            known: KnownNames::default(),
            meters: Arc::default(),
            ports: Ports::new(self.ports_ip),
            gate,
            shares: Shares::new(mux.budget.clone()),
            flows: Arc::new(Flows::new()),
            overload: Arc::default(),
            handshakes: Handshakes::default(),
            holds: Holds::new(Instant::now()),
            resumable: Resumable::default(),
            reserved: self.reserved,
            mux,
            clock: self.clock,
            drain_deadline: self.drain_deadline,
            rotation_deadline: self.rotation_deadline,
            public_port: self.public_port,
            visitor_tasks: Tasks::new("visitors"),
            agent_tasks: Tasks::new("agents"),
            shutdown,
        };
        Server { node: Arc::new(node), sessions, metering: self.metering, ceilings }
    }
}

impl Server {
    /// What is under the hood, for tests of its parts; it stops with the trigger.
    #[cfg(test)]
    pub(crate) fn into_node(self) -> (Arc<Node>, Trigger) {
        (self.node, self.sessions)
    }

    /// Starts to put a node together.
    #[must_use]
    pub fn builder(directory: Arc<dyn Directory>, admission: Arc<dyn Admission>) -> Builder {
        Builder::new(directory, admission)
    }

    /// Serves until `shutdown` says to drain; then takes nothing new, finishes what is in flight within
    /// the drain's deadline, and says goodbye to the agents. When `shutdown` says to stop, or the deadline has passed, what is
    /// left is cut, so that nobody takes it for the whole.
    ///
    /// `https` is the one port of agents and visitors; `http` is plain HTTP for development.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn run<L: Listen>(
        mut self,
        https: L,
        http: Option<L>,
        certificates: Arc<dyn ResolvesServerCert>,
        shutdown: Shutdown,
    ) -> Result<(), ServerError> {
        let public = Public::new(Arc::clone(&self.node), certificates)?;
        let after = follow::first_picture(&self.node).await?;
        let mut upkeep = Upkeep::begin(&self.node, self.ceilings, after);
        let keeping = match self.metering.take() {
            Some((usage, folder)) => {
                let (meters, clock) = (Arc::clone(&self.node.meters), Arc::clone(&self.node.clock));
                let (keeping, task) = Keeping::begin(self.node.id, meters, clock, usage, &folder).await?;
                upkeep.add(task);
                Some(keeping)
            }
            None => None,
        };
        let node = &self.node;
        let gate = node.gate.clone();
        let plain = async {
            match http {
                Some(listener) => {
                    ingress::plain(Arc::clone(node), listener, gate.clone(), shutdown.clone()).await;
                }
                None => shutdown.clone().draining().await,
            }
        };
        let serving = async { tokio::join!(public.accept(https, gate.clone(), shutdown.clone()), plain) };
        let ended = tokio::select! {
            ((), ()) = serving => Ok(()),
            failed = upkeep.failed() => Err(ServerError::Upkeep(failed)),
        };
        // Whoever starts it again must not wait.
        let deadline = if ended.is_ok() { self.node.drain_deadline } else { Duration::ZERO };
        self.drain(shutdown, deadline).await;
        if let Some(keeping) = keeping {
            keeping.end().await;
        }
        ended
    }

    /// Visitors first: their requests still need the sessions.
    async fn drain(self, mut shutdown: Shutdown, deadline: Duration) {
        self.sessions.drain();
        self.node.ports.drain_all();
        // Idle upstream connections have no request to finish.
        self.node.routes.tunnels().iter().for_each(|tunnel| tunnel.pool.clear());
        let visitors = &self.node.visitor_tasks;
        let joined = tokio::select! {
            joined = visitors.join_all(deadline) => joined,
            () = shutdown.stopped() => visitors.join_all(Duration::ZERO).await,
        };
        if joined.aborted > 0 {
            tracing::warn!(cut = joined.aborted, "connections of visitors did not end in time");
        }
        self.sessions.stop();
        self.node.agent_tasks.join_all(SESSIONS_END_DEADLINE).await;
        let panics = visitors.panics().saturating_add(self.node.agent_tasks.panics());
        if panics > 0 {
            tracing::warn!(panics, "tasks panicked while the node ran: each was told when it did");
        }
    }
}

/// Agent sessions whose streams leave room for the rest of the process.
fn sessions_within(memory_bytes: u64) -> adit_mux::Config {
    let budget = Budget::new(stream_bytes(memory_bytes));
    adit_mux::Config { budget, ..adit_mux::Config::default() }
}

fn stream_bytes(memory_bytes: u64) -> usize {
    let share = memory_bytes.saturating_mul(STREAMS_OF_MEMORY_PERCENT) / 100;
    usize::try_from(share).unwrap_or(usize::MAX).min(STREAM_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use crate::limits::STREAM_BYTES_MAX;

    use super::stream_bytes;

    #[test]
    fn streams_get_half_of_the_memory_and_at_most_so_much() {
        const MIB: u64 = 1024 * 1024;
        let most = STREAM_BYTES_MAX as u64;
        for (memory, streams) in [
            (0, 0),
            (64 * MIB, 32 * MIB),
            (2 * most - 2, most - 1),
            (2 * most, most),
            (2 * most + 2, most),
            (u64::MAX, most),
        ] {
            assert_eq!(stream_bytes(memory) as u64, streams, "{memory}");
        }
    }
}
