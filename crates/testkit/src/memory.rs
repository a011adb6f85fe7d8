//! Connections in memory. With them the clock of a program under test can stand still: while nobody has anything to say it
//! goes on to the next deadline at once.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use adit_net::connection::Connection;
use adit_net::listen::Listen;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::{Mutex, mpsc};

use crate::limits::{WIRE_BYTES, WIRES_WAITING_MAX};

/// One end of a connection.
pub struct Wire {
    io: DuplexStream,
    is_stuck: Arc<AtomicBool>,
}

/// Takes the connections that come through its door.
pub struct Port(Mutex<mpsc::Receiver<Wire>>);

/// Leads to a port.
#[derive(Clone)]
pub struct Door {
    wires: mpsc::Sender<Wire>,
    is_stuck: Arc<AtomicBool>,
}

/// A port and its door.
#[must_use]
pub fn port() -> (Port, Door) {
    let (wires, port) = mpsc::channel(WIRES_WAITING_MAX);
    (Port(Mutex::new(port)), Door { wires, is_stuck: Arc::default() })
}

impl Door {
    /// Connects.
    ///
    /// # Errors
    /// The port is gone.
    pub async fn dial(&self) -> io::Result<Wire> {
        let (here, there) = duplex(WIRE_BYTES);
        let there = Wire { io: there, is_stuck: Arc::default() };
        self.wires.send(there).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Wire { io: here, is_stuck: Arc::clone(&self.is_stuck) })
    }

    /// From now on nothing gets from or to whoever came through it, and nobody is told.
    pub fn get_stuck(&self) {
        self.is_stuck.store(true, Ordering::SeqCst);
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

impl Wire {
    fn io(&mut self) -> Poll<Pin<&mut DuplexStream>> {
        if self.is_stuck.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(Pin::new(&mut self.io)) }
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
        ready!(self.io()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.io()).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.io()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.io()).poll_shutdown(cx)
    }
}
