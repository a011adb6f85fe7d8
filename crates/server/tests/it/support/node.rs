//! A running node.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_domain::{Hostname, Timestamp};
use adit_net::tls::{DevCa, Resolver, Roots};
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::{Task, Tasks};
use adit_server::{Builder, Server, ServerError};
use tempfile::TempDir;

use super::authority::Authority;

/// A node on free ports; it stops when this is dropped.
pub struct TestNode {
    pub authority: Arc<Authority>,
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub roots: Roots,
    pub trigger: Trigger,
    pub running: Task<Result<(), ServerError>>,
    _folder: TempDir,
}

impl TestNode {
    pub fn start() -> Self {
        Self::with(Authority::new(), adit_mux::Config::default())
    }

    /// A node whose agent sessions are like this.
    pub fn start_with(sessions: adit_mux::Config) -> Self {
        Self::with(Authority::new(), sessions)
    }

    /// A node of an installation that is there already.
    pub fn with(authority: Arc<Authority>, sessions: adit_mux::Config) -> Self {
        Self::built(authority, |builder| builder.sessions(sessions))
    }

    /// A node that differs from others in this.
    pub fn built(authority: Arc<Authority>, differs: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_micros(adit_process::clock::wall_micros());
        let ca = Arc::new(DevCa::create_or_load(folder.path(), now).unwrap());
        let roots = Roots::from_file(ca.ca_pem_path()).unwrap();
        let domain = Hostname::parse("localhost").unwrap();
        let leaves = ca.leaves(move |name| *name == domain || name.is_direct_child_of(&domain));
        let directory: Arc<dyn adit_authority::Directory> = authority.clone();
        // All who come have the same address.
        let builder = Server::builder(directory, authority.clone()).connections_per_address(10_000);
        let server = differs(builder).build();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let https = adit_net::listen::bind(any).unwrap();
        let http = adit_net::listen::bind(any).unwrap();
        let (tls_address, plain_address) = (https.local_addr().unwrap(), http.local_addr().unwrap());
        let (trigger, shutdown) = Shutdown::new();
        let certificates = Resolver::new(vec![Arc::new(leaves)]);
        let running = Tasks::new("test").spawn("node", server.run(https, Some(http), certificates, shutdown));
        Self { authority, https: tls_address, http: plain_address, roots, trigger, running, _folder: folder }
    }
}
