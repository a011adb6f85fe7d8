//! A running node.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_domain::{Hostname, Timestamp};
use adit_net::connection::Connection;
use adit_net::listen::Listen;
use adit_net::tls::{DevCa, Resolver, Roots};
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::{Task, Tasks};
use adit_server::{Builder, Server, ServerError};
use adit_testkit::memory::{self, Door};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::authority::Authority;

/// A node on free ports; it stops when this is dropped.
pub struct TestNode {
    pub authority: Arc<Authority>,
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub roots: Roots,
    pub trigger: Trigger,
    pub running: Task<Result<(), ServerError>>,
    /// The way to its two ports, if they are in memory and not at those addresses.
    doors: Option<[Door; 2]>,
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
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let [https, http] = [any; 2].map(|any| adit_net::listen::bind(any).unwrap());
        let addresses = [&https, &http].map(|listener| listener.local_addr().unwrap());
        Self::run(authority, differs, [https, http], addresses)
    }

    /// A node on ports in memory, for a clock that stands still.
    pub fn still(authority: Arc<Authority>, differs: impl FnOnce(Builder) -> Builder) -> Self {
        let ((https, to_https), (http, to_http)) = (memory::port(), memory::port());
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let node = Self::run(authority, differs, [https, http], [nowhere; 2]);
        Self { doors: Some([to_https, to_http]), ..node }
    }

    fn run<L: Listen>(
        authority: Arc<Authority>,
        differs: impl FnOnce(Builder) -> Builder,
        [https, http]: [L; 2],
        addresses: [SocketAddr; 2],
    ) -> Self {
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
        let (trigger, shutdown) = Shutdown::new();
        let certificates = Resolver::new(vec![Arc::new(leaves)]);
        let running = Tasks::new("test").spawn("node", server.run(https, Some(http), certificates, shutdown));
        let [https, http] = addresses;
        Self { authority, https, http, roots, trigger, running, doors: None, _folder: folder }
    }

    /// A connection to the port of agents and visitors.
    pub async fn dial_https(&self) -> Box<dyn Connection> {
        match &self.doors {
            Some([https, _]) => Box::new(https.dial().await.unwrap()),
            None => Box::new(TcpStream::connect(self.https).await.unwrap()),
        }
    }

    /// A connection to the port of plain HTTP.
    pub async fn dial_http(&self) -> Box<dyn Connection> {
        match &self.doors {
            Some([_, http]) => Box::new(http.dial().await.unwrap()),
            None => Box::new(TcpStream::connect(self.http).await.unwrap()),
        }
    }
}
