//! What one side of the traffic saw, counted by the test itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts that only grow. Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    connections: AtomicU64,
    in_bytes: AtomicU64,
    out_bytes: AtomicU64,
}

/// What stands in a ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Requests that were answered.
    pub requests: u64,
    /// Connections that stopped to be HTTP, or never were.
    pub connections: u64,
    /// Bytes from visitors to the upstream.
    pub in_bytes: u64,
    /// Bytes from the upstream to visitors.
    pub out_bytes: u64,
}

impl Ledger {
    /// What stands in it now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Totals {
            requests: count(&self.counts.requests),
            connections: count(&self.counts.connections),
            in_bytes: count(&self.counts.in_bytes),
            out_bytes: count(&self.counts.out_bytes),
        }
    }

    /// A request was answered.
    pub fn request(&self) {
        self.counts.requests.fetch_add(1, Ordering::SeqCst);
    }

    /// A connection passes bytes as they are.
    pub fn connection(&self) {
        self.counts.connections.fetch_add(1, Ordering::SeqCst);
    }

    /// Bytes went to the upstream.
    pub fn incoming(&self, bytes: usize) {
        self.counts.in_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Bytes went to a visitor.
    pub fn outgoing(&self, bytes: usize) {
        self.counts.out_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// The data in a frame of a body that comes from a visitor.
    pub fn incoming_frame(&self, frame: &Frame<Bytes>) {
        self.incoming(frame.data_ref().map_or(0, Bytes::len));
    }

    /// The data in a frame of a body that goes to a visitor.
    pub fn outgoing_frame(&self, frame: &Frame<Bytes>) {
        self.outgoing(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// Whose end of a connection is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What is written comes in.
    Visitor,
    /// What is read comes in.
    Upstream,
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub struct Counted<I> {
    io: I,
    ledger: Ledger,
    side: Side,
}

impl<I> Counted<I> {
    /// Counts the connection, and from now on its bytes.
    pub fn new(io: I, ledger: Ledger, side: Side) -> Self {
        ledger.connection();
        Self { io, ledger, side }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let bytes = buf.filled().len() - before;
        match self.side {
            Side::Visitor => self.ledger.outgoing(bytes),
            Side::Upstream => self.ledger.incoming(bytes),
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        match self.side {
            Side::Visitor => self.ledger.incoming(bytes),
            Side::Upstream => self.ledger.outgoing(bytes),
        }
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
