//! Connections in memory. With them the clock of a node can stand still: while nobody has anything to say it goes on to the
//! next deadline at once.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use adit_net::connection::Connection;
use adit_net::listen::Listen;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::{Mutex, mpsc};

/// What each direction holds, as a socket would.
const HELD_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

/// One end of a connection.
pub struct Wire(DuplexStream);

/// Takes the connections that come through its door.
pub struct Port(Mutex<mpsc::Receiver<Wire>>);

/// Leads to a port.
#[derive(Clone)]
pub struct Door(mpsc::Sender<Wire>);

/// A port and its door.
pub fn port() -> (Port, Door) {
    let (door, port) = mpsc::channel(BACKLOG);
    (Port(Mutex::new(port)), Door(door))
}

impl Door {
    pub async fn dial(&self) -> Wire {
        let (here, there) = duplex(HELD_BYTES);
        self.0.send(Wire(there)).await.expect("nobody listens");
        Wire(here)
    }
}

impl Listen for Port {
    type Connection = Wire;

    async fn accept(&self) -> io::Result<(Wire, SocketAddr)> {
        match self.0.lock().await.recv().await {
            Some(wire) => Ok((wire, SocketAddr::from(([127, 0, 0, 1], 1)))),
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

/// It has no options, and its end is all that a reset can be.
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
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
