//! How the server is reached: over loopback, or in memory and with an upstream beside it, for a clock that stands still.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use adit_net::connection::Connection;
use adit_net::dial::{Dial, DialError, Dialling};
use adit_net::listen::Listen as _;
use adit_testkit::memory::{self, Door, Port};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

/// Where a part of the server is reached.
pub enum Entrance {
    Tcp(TcpListener),
    Memory(Port, u16),
}

/// Everybody whom an agent can reach, in memory.
pub struct Network {
    api: Door,
    pub node: Door,
    upstream: Door,
    at_upstream: Port,
    /// Whoever dials this port gets no answer, or a no.
    silent: AtomicU16,
    closed: AtomicU16,
}

impl Entrance {
    pub async fn tcp() -> Self {
        Self::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub async fn accept(&self) -> Box<dyn Connection> {
        match self {
            Self::Tcp(listener) => Box::new(listener.accept().await.unwrap().0),
            Self::Memory(port, _) => Box::new(port.accept().await.unwrap().0),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(listener) => listener.local_addr().unwrap().port(),
            Self::Memory(_, port) => *port,
        }
    }
}

impl Network {
    pub const API: u16 = 443;
    pub const NODE: u16 = 8443;
    pub const UPSTREAM: u16 = 3000;

    /// The entrances of the API and of the node, and what leads to them.
    pub fn new() -> ([Entrance; 2], Self) {
        let [(at_api, api), (at_node, node), (at_upstream, upstream)] = [(); 3].map(|()| memory::port());
        let (silent, closed) = (AtomicU16::new(0), AtomicU16::new(0));
        let network = Self { api, node, upstream, at_upstream, silent, closed };
        ([Entrance::Memory(at_api, Self::API), Entrance::Memory(at_node, Self::NODE)], network)
    }

    /// Nobody answers who dials this port.
    pub fn silence(&self, port: u16) {
        self.silent.store(port, Ordering::SeqCst);
    }

    /// Nobody listens at this port.
    pub fn close(&self, port: u16) {
        self.closed.store(port, Ordering::SeqCst);
    }

    /// The next connection to the upstream.
    pub async fn upstream(&self) -> Box<dyn Connection> {
        Box::new(self.at_upstream.accept().await.unwrap().0)
    }
}

impl Dial for Network {
    fn dial<'a>(&'a self, host: &'a str, port: u16, deadline: Instant) -> Dialling<'a> {
        Box::pin(async move {
            let host = host.to_owned();
            if self.silent.load(Ordering::SeqCst) == port {
                sleep_until(deadline).await;
                return Err(DialError::Deadline { host, port });
            }
            if self.closed.load(Ordering::SeqCst) == port {
                let source = io::ErrorKind::ConnectionRefused.into();
                return Err(DialError::Refused { host, port, source });
            }
            let door = match port {
                Self::API => &self.api,
                Self::NODE => &self.node,
                Self::UPSTREAM => &self.upstream,
                other => panic!("nobody is at {host}:{other}"),
            };
            Ok(Box::new(door.dial().await.unwrap()) as Box<dyn Connection>)
        })
    }
}
