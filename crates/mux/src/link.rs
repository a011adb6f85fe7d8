//! The connection below yamux: one buffer for all that is written, and an eye on what passes.
//!
//! yamux writes the header and the body of a frame apart and flushes after every frame; over TLS that is two records
//! and two system calls per frame. Here writes gather in one bounded buffer, yamux's flush does nothing, and the
//! driver flushes once, when it has nothing else to do.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    close::CloseReason,
    limits::{COALESCED_BYTES_KEPT, COALESCED_BYTES_MAX},
    link::frames::{Frames, Sight},
    shared::{Shared, lock},
};

mod frames;

/// A handle on the connection. yamux holds one and the driver another; both are polled by the same task, so the lock
/// is never contended.
#[derive(Debug)]
pub(crate) struct Link<T> {
    wire: Arc<Mutex<Wire<T>>>,
}

#[derive(Debug)]
struct Wire<T> {
    io: T,
    shared: Arc<Shared>,
    unsent: Unsent,
    needs_flush: bool,
    is_blocked: bool,
    bytes_received: u64,
    inbound: Frames,
    outbound: Frames,
    verdict: Option<CloseReason>,
    has_sent_go_away: bool,
}

/// Bytes that wait for one write.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    since_flush: usize,
}

impl Unsent {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn has_room_for(&self, more: usize) -> bool {
        self.rest().len().saturating_add(more) <= COALESCED_BYTES_MAX
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.sent > 0 && self.bytes.len().saturating_add(bytes.len()) > COALESCED_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
        self.since_flush = self.since_flush.saturating_add(bytes.len());
    }

    /// After a round with little to send, the memory of a busier time goes back.
    fn flushed(&mut self) {
        if self.since_flush <= COALESCED_BYTES_KEPT && self.bytes.capacity() > COALESCED_BYTES_KEPT {
            self.bytes = Vec::new();
        }
        self.since_flush = 0;
    }

    fn advance(&mut self, by: usize) {
        self.sent = self.sent.saturating_add(by);
        if self.rest().is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self { wire: Arc::clone(&self.wire) }
    }
}

impl<T> Link<T> {
    pub(crate) fn new(io: T, shared: Arc<Shared>) -> Self {
        let wire = Wire {
            io,
            shared,
            unsent: Unsent::default(),
            needs_flush: false,
            is_blocked: false,
            bytes_received: 0,
            inbound: Frames::default(),
            outbound: Frames::default(),
            verdict: None,
            has_sent_go_away: false,
        };
        Self { wire: Arc::new(Mutex::new(wire)) }
    }

    /// Whether yamux's last write found no room.
    pub(crate) fn is_blocked(&self) -> bool {
        lock(&self.wire).is_blocked
    }

    /// Bytes received so far; a change is a sign of life.
    pub(crate) fn bytes_received(&self) -> u64 {
        lock(&self.wire).bytes_received
    }

    /// What was seen on the connection and explains its end better than yamux's error.
    pub(crate) fn verdict(&self) -> Option<CloseReason> {
        lock(&self.wire).verdict.clone()
    }

    /// Whether yamux has accused the peer. It would go on serving it.
    pub(crate) fn has_sent_go_away(&self) -> bool {
        lock(&self.wire).has_sent_go_away
    }

    /// Whether nothing is left to send.
    pub(crate) fn is_flushed(&self) -> bool {
        let wire = lock(&self.wire);
        wire.unsent.rest().is_empty() && !wire.needs_flush
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    /// Sends what has gathered.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.wire).poll_flush(cx)
    }

    /// Sends what has gathered and ends our direction.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *lock(&self.wire);
        ready!(wire.poll_drain(cx))?;
        Pin::new(&mut wire.io).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.rest().is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, self.unsent.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(written);
            self.needs_flush = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.needs_flush {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.needs_flush = false;
            self.unsent.flushed();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes all of `bytes` or nothing: yamux then always hands over whole headers and whole bodies.
    fn poll_append(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.unsent.has_room_for(bytes.len()) {
            let drained = self.poll_drain(cx)?;
            if drained.is_pending() && !self.unsent.has_room_for(bytes.len()) {
                self.is_blocked = true;
                return Poll::Pending;
            }
        }
        self.is_blocked = false;
        self.unsent.append(bytes);
        let has_sent_go_away = &mut self.has_sent_go_away;
        let seen = self.outbound.pass(bytes, |sight| *has_sent_go_away |= matches!(sight, Sight::GoAway(_)));
        debug_assert!(seen.is_ok(), "yamux splits what we send");
        Poll::Ready(Ok(bytes.len()))
    }

    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            self.verdict.get_or_insert(CloseReason::PeerLeft);
            return Ok(());
        }
        self.bytes_received =
            self.bytes_received.wrapping_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let Self { inbound, verdict, shared, .. } = self;
        let passed = inbound.pass(bytes, |sight| match sight {
            Sight::Reset(id) => shared.reset(id),
            Sight::GoAway(0) => {
                verdict.get_or_insert(CloseReason::PeerLeft);
            }
            Sight::GoAway(code) => {
                verdict.get_or_insert(CloseReason::PeerRefused(code));
            }
        });
        passed.map_err(|error| {
            verdict.get_or_insert(CloseReason::Violation("frame body too large"));
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> futures::io::AsyncRead for Link<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *lock(&self.wire);
        let mut read = ReadBuf::new(buf);
        ready!(Pin::new(&mut wire.io).poll_read(cx, &mut read))?;
        let bytes = read.filled();
        wire.received(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> futures::io::AsyncWrite for Link<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.wire).poll_append(cx, buf)
    }

    /// Nothing: yamux flushes after every frame, the driver flushes once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Nothing: the driver shuts the connection down after it has dropped yamux.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::Unsent;
    use crate::limits::{COALESCED_BYTES_KEPT, COALESCED_BYTES_MAX};

    #[test]
    fn the_buffer_takes_so_much_and_no_more() {
        let mut unsent = Unsent::default();
        unsent.append(&[0; 100]);
        for (more, fits) in [
            (COALESCED_BYTES_MAX - 101, true),
            (COALESCED_BYTES_MAX - 100, true),
            (COALESCED_BYTES_MAX - 99, false),
        ] {
            assert_eq!(unsent.has_room_for(more), fits);
        }
    }

    #[test]
    fn a_buffer_that_is_sent_in_part_keeps_order_and_bound() {
        let mut unsent = Unsent::default();
        unsent.append(&vec![1; COALESCED_BYTES_MAX - 1]);
        unsent.advance(10);
        unsent.append(&[2; 11]);
        assert_eq!(unsent.rest().len(), COALESCED_BYTES_MAX);
        assert!(unsent.rest().ends_with(&[2; 11]) && unsent.bytes.len() <= COALESCED_BYTES_MAX);
        unsent.advance(COALESCED_BYTES_MAX);
        assert!(unsent.rest().is_empty());
    }

    #[test]
    fn an_idle_connection_keeps_little() {
        let mut unsent = Unsent::default();
        unsent.append(&vec![1; COALESCED_BYTES_MAX]);
        unsent.advance(COALESCED_BYTES_MAX);
        unsent.flushed();
        assert!(unsent.bytes.capacity() >= COALESCED_BYTES_MAX, "a busy one keeps it");
        unsent.append(&[1; COALESCED_BYTES_KEPT]);
        unsent.advance(COALESCED_BYTES_KEPT);
        unsent.flushed();
        assert_eq!(unsent.bytes.capacity(), 0);
    }
}
