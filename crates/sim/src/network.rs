//! The simulated network as the agent and the node know networks.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use adit_net::connection::Connection;
use adit_net::dial::{Dial, DialError, Dialling};
use adit_net::listen::Listen;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};
use turmoil::net::{TcpListener, TcpStream};

use crate::fuse::Fuse;

/// A listener of a simulated host, with a fuse on what it accepts.
pub(crate) struct Port(TcpListener, Fuse);

impl Port {
    pub(crate) async fn open(port: u16, fuse: Fuse) -> io::Result<Self> {
        TcpListener::bind(("0.0.0.0", port)).await.map(|listener| Self(listener, fuse))
    }
}

impl Listen for Port {
    type Connection = Wire;

    async fn accept(&self) -> io::Result<(Wire, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Wire(stream, self.1.clone()), peer))
    }
}

/// How a simulated host reaches others, by their names, with fuses on what leads to the node and to anybody else.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    pub(crate) node: Fuse,
    pub(crate) others: Fuse,
}

impl Dial for Hosts {
    fn dial<'a>(&'a self, host: &'a str, port: u16, deadline: Instant) -> Dialling<'a> {
        Box::pin(async move {
            let unreachable = |source| DialError::Unreachable { host: host.to_owned(), port, source };
            let fuse = if host == "node" { &self.node } else { &self.others };
            match timeout_at(deadline, connect(host, port, fuse.clone())).await {
                Ok(Ok(wire)) => Ok(Box::new(wire) as Box<dyn Connection>),
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Err(DialError::Refused { host: host.to_owned(), port, source: error })
                }
                Ok(Err(error)) => Err(unreachable(error)),
                Err(_elapsed) => Err(DialError::Deadline { host: host.to_owned(), port }),
            }
        })
    }
}

/// Connects to a host by its name.
pub(crate) async fn connect(host: &str, port: u16, fuse: Fuse) -> io::Result<Wire> {
    TcpStream::connect((host, port)).await.map(|stream| Wire(stream, fuse))
}

/// A simulated TCP connection. It has no options, and a drop is all that it can do to reset.
#[derive(Debug)]
pub(crate) struct Wire(TcpStream, Fuse);

impl Connection for Wire {
    fn tune(&self) {}

    fn tune_agent_link(&self) {}

    fn reset_on_drop(&self) {}

    fn end_on_drop(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.1.pass();
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
