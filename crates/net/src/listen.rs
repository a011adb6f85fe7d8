//! Binding a listener, with an error that says what to do.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::connection::Connection;
use crate::limits::{LISTEN_BACKLOG, NOTSENT_BYTES};
use crate::socket::{bound_unsent, keepalive};

/// Why nothing listens on an address.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("another program already listens on {0}: stop it, or choose another port")]
    InUse(SocketAddr, #[source] io::Error),
    /// The system lets only privileged programs have the port.
    #[error(
        "not allowed to listen on {0}: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE), or choose another port"
    )]
    NotAllowed(SocketAddr, #[source] io::Error),
    /// The machine does not have the address.
    #[error("{0} is not an address of this machine: use one of its own, or 0.0.0.0 for all")]
    NotHere(SocketAddr, #[source] io::Error),
    /// Anything else.
    #[error("cannot listen on {0}")]
    Other(SocketAddr, #[source] io::Error),
}

impl BindError {
    /// What the system's error means.
    pub(crate) fn of(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::AddrInUse => Self::InUse(address, error),
            ErrorKind::PermissionDenied => Self::NotAllowed(address, error),
            ErrorKind::AddrNotAvailable => Self::NotHere(address, error),
            _ => Self::Other(address, error),
        }
    }
}

/// Where connections come from.
pub trait Listen: Send + Sync + 'static {
    /// What comes.
    type Connection: Connection;

    /// The next connection and who made it. Cancel safe.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Connection, SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    type Connection = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// Listens on `address`; port 0 takes any free one. A port whose former owner has just died is available again.
///
/// # Errors
/// Says why the address is not available and what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|error| BindError::of(address, error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows the option means something else: to take a port away from its owner.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit both on the systems that nodes run on.
    SockRef::from(&socket).set_tcp_keepalive(&keepalive())?;
    bound_unsent(&SockRef::from(&socket), NOTSENT_BYTES);
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::SocketAddr;

    use super::{BindError, bind};

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let taken = bind(address).unwrap_err();
        assert!(matches!(taken, BindError::InUse(..)));
        assert!(taken.to_string().contains(&address.to_string()));
        assert!(taken.to_string().contains("choose another port"));
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let elsewhere: SocketAddr = "192.0.2.1:0".parse().unwrap();
        assert!(matches!(bind(elsewhere), Err(BindError::NotHere(..))));
    }

    #[tokio::test]
    async fn ipv6_listens_too() {
        let listener = bind("[::1]:0".parse().unwrap()).unwrap();
        assert!(listener.local_addr().unwrap().is_ipv6());
    }
}
