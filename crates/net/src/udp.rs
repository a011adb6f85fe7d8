//! Sockets for datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::limits::UDP_RECEIVE_BYTES;
use crate::listen::BindError;

/// Takes datagrams for `address`; port 0 takes any free one. A port that another socket has is never shared. Must be
/// called inside a tokio runtime.
///
/// At an unspecified address the system chooses from which one an answer leaves: on a machine with several that may be
/// another than the visitor asked.
///
/// # Errors
/// Says why the address is not available and what to do.
pub fn bind(address: SocketAddr) -> Result<UdpSocket, BindError> {
    open(address).map_err(|error| BindError::of(address, error))
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.set_recv_buffer_size(UDP_RECEIVE_BYTES) {
        tracing::debug!(%error, "the system gives no larger buffer for datagrams");
    }
    socket.bind(&SockAddr::from(address))?;
    UdpSocket::from_std(socket.into())
}

/// A socket that sends to `peer` and hears from nobody else, at any port. Must be called inside a tokio runtime.
///
/// # Errors
/// There is no way to the address, or no descriptor is left. Whether somebody listens there is found out by sending.
pub fn connect(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any = match peer {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(peer)?;
    UdpSocket::from_std(socket)
}

/// Waits for what the network says about a datagram that was sent before, as that nobody listens where it went. A socket is
/// not readable because of that, so who only reads never hears it. Cancel safe.
pub async fn failure(socket: Arc<UdpSocket>) -> io::Error {
    loop {
        if let Err(error) = socket.ready(Interest::ERROR).await {
            return error;
        }
        let told = socket.try_io(Interest::ERROR, || {
            Err::<(), _>(socket.take_error()?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
        });
        match told {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::ErrorKind;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::{bind, connect, failure};
    use crate::listen::BindError;

    fn here(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn datagrams_pass_both_ways() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let public = bind(here(any)).unwrap();
            let visitor = connect(public.local_addr().unwrap()).unwrap();
            visitor.send(b"question").await.unwrap();
            let mut room = [0; 16];
            let (bytes, from) = public.recv_from(&mut room).await.unwrap();
            assert_eq!((room.get(..bytes), from), (Some(&b"question"[..]), visitor.local_addr().unwrap()));
            public.send_to(b"", from).await.unwrap();
            assert_eq!(visitor.recv(&mut room).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_port_is_not_shared_and_free_again_at_once() {
        let first = bind(here("127.0.0.1:0")).unwrap();
        let address = first.local_addr().unwrap();
        let taken = bind(address).unwrap_err();
        assert!(matches!(taken, BindError::InUse(..)), "{taken}");
        assert!(matches!(bind(here("192.0.2.1:0")), Err(BindError::NotHere(..))));
        drop(first);
        bind(address).unwrap();
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_says_so_after_sending() {
        let gone = bind(here("127.0.0.1:0")).unwrap().local_addr().unwrap();
        let socket = Arc::new(connect(gone).unwrap());
        for _ in 0..3 {
            socket.send(b"question").await.unwrap();
            let error = failure(Arc::clone(&socket)).await;
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    }
}
