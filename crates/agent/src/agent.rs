//! The agent for programs that embed it: build, start, listen, stop.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use adit_domain::id::InstanceId;
use adit_domain::{ApiKey, EndpointKind, Handling, Pooling, Retry, Reuse};
use adit_net::dial::{Dial, Tcp};
use adit_net::proxy_protocol::ProxyVersion;
use adit_net::tls::{PemError, Roots, TlsConfigError, agent_client, http_client};
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::{Task, TaskError, Tasks};
use adit_wire::ALPN;
use adit_wire::capability::{AgentKey, KeyError};
use thiserror::Error;

use crate::certificate::{Certificate, CertificateError};
use crate::event::{Event, Events, SCHEMA};
use crate::forward::Forwarder;
use crate::identity::Identity;
use crate::limits::{CONNECTIONS_DEFAULT, CONNECTIONS_MAX};
use crate::orders::Orders;
use crate::parting::Parting;
use crate::public_url::PublicUrl;
use crate::runner::{Outcome, Runner};
use crate::server_address::ServerAddress;
use crate::terminate::Terminator;
use crate::upstream::Upstream;
use crate::upstream::dial::Dialler;

/// An agent that is ready to start.
pub struct Agent {
    orders: Orders,
    identity: Identity,
    dialler: Dialler,
    terminator: Option<Terminator>,
}

/// Collects what an agent needs.
#[must_use = "nothing happens before `build`"]
pub struct Builder {
    orders: Orders,
    api_key: ApiKey,
    agent_key: Option<AgentKey>,
    roots: Roots,
    network: Arc<dyn Dial>,
    proxy_protocol: Option<ProxyVersion>,
    certificate: Option<Certificate>,
}

/// Why an agent cannot be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// There is no key for it.
    #[error("no key for the agent")]
    Key(#[from] KeyError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsConfigError),
}

/// An agent that runs. Dropping it cuts the agent; [`Handle::stop`] lets it say goodbye.
#[derive(Debug)]
pub struct Handle {
    trigger: Trigger,
    parting: Arc<OnceLock<Parting>>,
    task: Task<Outcome>,
}

impl Agent {
    /// An agent that brings visitors to `upstream`, at the server that `api_key` is for.
    pub fn builder(server: ServerAddress, api_key: ApiKey, upstream: Upstream) -> Builder {
        let orders = Orders {
            server,
            upstream,
            url: None,
            port: None,
            connections: CONNECTIONS_DEFAULT,
            pooling: None,
            handling: Handling::default(),
        };
        Builder {
            orders,
            api_key,
            agent_key: None,
            roots: Roots::public(),
            network: Arc::new(Tcp),
            proxy_protocol: None,
            certificate: None,
        }
    }

    /// Starts the agent as a task of `tasks`. Must be called inside a tokio runtime.
    #[must_use = "dropping the handle cuts the agent"]
    pub fn start(self, tasks: &Tasks) -> (Handle, Events) {
        let (emitter, events) = Events::channel();
        let (trigger, shutdown) = Shutdown::new();
        emitter.emit(Event::Starting {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            server: self.orders.server.to_string(),
            upstream: self.orders.upstream.to_string(),
            instance: self.identity.instance,
        });
        let forwarder = Forwarder::new(self.dialler, self.terminator, emitter.clone());
        let parting = Arc::new(OnceLock::new());
        let stopping = (shutdown, Arc::clone(&parting));
        let runner = Runner::new(self.orders, self.identity, forwarder, emitter, stopping);
        (Handle { trigger, parting, task: tasks.spawn("agent", runner.run()) }, events)
    }
}

impl Builder {
    /// Asks for this public URL; without it the server gives the one that this agent's key and upstream had before.
    pub fn url(mut self, url: Option<PublicUrl>) -> Self {
        self.orders.url = url;
        self
    }

    /// How many connections the agent holds: at least 1, at most [`CONNECTIONS_MAX`]. Without it
    /// [`CONNECTIONS_DEFAULT`].
    pub fn connections(mut self, connections: usize) -> Self {
        self.orders.connections = connections.clamp(1, CONNECTIONS_MAX);
        self
    }

    /// Asks for this public port, for an upstream whose endpoint has one; without it the server gives the one that the
    /// endpoint had before, or any that is free.
    pub fn port(mut self, port: Option<NonZeroU16>) -> Self {
        self.orders.port = port;
        self
    }

    /// Tells the upstream where each visitor comes from, with the PROXY protocol, at the start of each connection. For an
    /// HTTP upstream every request then has a connection of its own.
    pub const fn proxy_protocol(mut self, version: Option<ProxyVersion>) -> Self {
        self.proxy_protocol = version;
        self.orders.handling.reuse = if version.is_some() { Reuse::Off } else { Reuse::Shared };
        self
    }

    /// What becomes of an HTTP request that got no response and that the upstream may have acted on.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.orders.handling.retry = retry;
        self
    }

    /// Shares the endpoint with other agents that ask for it too. Without it the newest agent serves it alone.
    pub fn pooling(mut self, pooling: Option<Pooling>) -> Self {
        self.orders.pooling = pooling;
        self
    }

    /// The agent's own key; without it one is made that is gone with the agent.
    pub fn agent_key(mut self, key: AgentKey) -> Self {
        self.agent_key = Some(key);
        self
    }

    /// Trusts exactly the certificates in a PEM file, for the server and for nodes whose roots it does not name,
    /// instead of the public roots.
    ///
    /// # Errors
    /// The file cannot be read or holds no usable certificate.
    pub fn ca_file(mut self, path: &Path) -> Result<Self, PemError> {
        self.roots = Roots::from_file(path)?;
        Ok(self)
    }

    /// Speaks TLS with visitors of a `tls` endpoint, with the chain and the key in two PEM files, and brings what they say in
    /// it to the upstream. Without it TLS is the upstream's own. The files are read again when they change.
    ///
    /// # Errors
    /// A file cannot be read or used, or others may read the key.
    pub fn certificate(mut self, chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        self.certificate = Some(Certificate::load(chain, key)?);
        Ok(self)
    }

    /// How the server, its nodes and the upstream are reached, instead of TCP.
    pub fn network(mut self, network: Arc<dyn Dial>) -> Self {
        self.network = network;
        self
    }

    /// The agent.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Agent, BuildError> {
        let agent_key = self.agent_key.map_or_else(AgentKey::generate, Ok)?;
        let identity = Identity {
            api_key: self.api_key,
            agent_key,
            instance: InstanceId::new(),
            network: Arc::clone(&self.network),
            http_tls: http_client(&self.roots, &[b"http/1.1"])?,
            node_tls: Arc::clone(&agent_client(&self.roots, ALPN)?),
        };
        let dialler =
            Dialler::new(self.orders.upstream.clone(), self.network)?.proxy_protocol(self.proxy_protocol);
        let is_tls = self.orders.upstream.kind() == EndpointKind::Tls;
        let terminator = self.certificate.filter(|_| is_tls).map(Terminator::new).transpose()?;
        Ok(Agent { orders: self.orders, identity, dialler, terminator })
    }
}

impl Handle {
    /// Asks the agent to take no more visitors, let those in flight finish, say goodbye and end. [`Handle::ended`] tells
    /// when it has, within [`Parting::takes_at_most`]. Asked again it does what it was asked first.
    pub fn stop(&self, parting: Parting) {
        self.parting.get_or_init(|| parting);
        self.trigger.drain();
    }

    /// Waits for the end. Cancel safe; to be called until it has returned once.
    pub async fn ended(&mut self) -> Outcome {
        match (&mut self.task).await {
            Ok(outcome) => outcome,
            Err(error @ (TaskError::Panicked { .. } | TaskError::Aborted)) => {
                Outcome::Failed(error.to_string())
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
