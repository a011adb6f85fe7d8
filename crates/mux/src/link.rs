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

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    close::CloseReason,
    limits::FRAME_BODY_BYTES_TAKEN_MAX,
    link::{
        frames::{Frames, Head, Tag},
        unsent::Unsent,
    },
    lock::lock,
    register::Overrun,
    shared::Shared,
};

mod frames;
mod unsent;

/// Read at once of what nobody needs.
const SCRAP_BYTES: usize = 4_096;

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
    /// There was no room for something of yamux's.
    has_refused: bool,
    bytes_received: u64,
    bytes_sent: u64,
    inbound: Frames,
    outbound: Frames,
    /// When yamux asked for an answer, which measures the round trip.
    pinged: Option<Instant>,
    verdict: Option<CloseReason>,
    has_sent_go_away: bool,
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
            has_refused: false,
            bytes_received: 0,
            bytes_sent: 0,
            inbound: Frames::default(),
            outbound: Frames::default(),
            pinged: None,
            verdict: None,
            has_sent_go_away: false,
        };
        Self { wire: Arc::new(Mutex::new(wire)) }
    }

    /// Bytes received so far; a change is a sign of life.
    pub(crate) fn bytes_received(&self) -> u64 {
        lock(&self.wire).bytes_received
    }

    /// Bytes that the connection has taken so far; a change is a sign that somebody reads.
    pub(crate) fn bytes_sent(&self) -> u64 {
        lock(&self.wire).bytes_sent
    }

    /// What was seen on the connection and explains its end better than yamux's error.
    pub(crate) fn verdict(&self) -> Option<CloseReason> {
        lock(&self.wire).verdict.clone()
    }

    /// Whether yamux has accused the peer. It would go on serving it.
    pub(crate) fn has_sent_go_away(&self) -> bool {
        lock(&self.wire).has_sent_go_away
    }

    /// Bytes that have gathered.
    pub(crate) fn unsent_bytes(&self) -> usize {
        lock(&self.wire).unsent.rest().len()
    }

    /// Whether yamux was told to wait since this was asked last.
    pub(crate) fn take_refused(&self) -> bool {
        std::mem::take(&mut lock(&self.wire).has_refused)
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

    /// Throws away what still comes, until the peer has ended its direction, too.
    pub(crate) fn poll_outlast(&self, cx: &mut Context<'_>) -> Poll<()> {
        let wire = &mut *lock(&self.wire);
        let mut scrap = [0; SCRAP_BYTES];
        loop {
            let mut read = ReadBuf::new(&mut scrap);
            let polled = ready!(Pin::new(&mut wire.io).poll_read(cx, &mut read));
            if polled.is_err() || read.filled().is_empty() {
                return Poll::Ready(());
            }
        }
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
            self.bytes_sent = self.bytes_sent.wrapping_add(wide(written));
            self.needs_flush = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.needs_flush {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes all of `bytes` or nothing: yamux then always hands over whole headers and whole bodies.
    fn poll_append(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.unsent.has_room_for(bytes.len()) {
            let drained = self.poll_drain(cx)?;
            if drained.is_pending() && !self.unsent.has_room_for(bytes.len()) {
                self.shared.line.set_blocked(true);
                self.has_refused = true;
                return Poll::Pending;
            }
        }
        self.shared.line.set_blocked(false);
        self.unsent.append(bytes);
        let Self { outbound, shared, pinged, has_sent_go_away, .. } = self;
        outbound.pass(bytes, |head| match head.tag {
            Tag::Data if head.length > 0 => shared.register.depart(head.id),
            Tag::Ping if !head.is_ack() => *pinged = Some(Instant::now()),
            Tag::GoAway => *has_sent_go_away = true,
            _ => {}
        });
        Poll::Ready(Ok(bytes.len()))
    }

    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            self.verdict.get_or_insert(CloseReason::PeerLeft);
            return Ok(());
        }
        if self.has_sent_go_away {
            // yamux would go on with what follows.
            self.verdict.get_or_insert(CloseReason::Violation("invalid use of yamux"));
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.bytes_received = self.bytes_received.wrapping_add(wide(bytes.len()));
        let Self { inbound, verdict, shared, pinged, .. } = self;
        let mut is_refused = false;
        inbound.pass(bytes, |head| {
            if let Some(reason) = look(head, shared, pinged) {
                is_refused |= matches!(reason, CloseReason::Violation(_));
                verdict.get_or_insert(reason);
            }
        });
        // yamux must not see a frame that is refused: it would take memory for its body.
        if is_refused { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}

/// What a frame of the peer means for the session; `Some` ends it.
fn look(head: Head, shared: &Shared, pinged: &mut Option<Instant>) -> Option<CloseReason> {
    if head.is_reset() {
        shared.register.reset(head.id);
    }
    match head.tag {
        Tag::Data => {
            let body_bytes = usize::try_from(head.length).unwrap_or(usize::MAX);
            if body_bytes > FRAME_BODY_BYTES_TAKEN_MAX {
                return Some(CloseReason::Violation("frame body too large"));
            }
            note_opened(head, shared);
            let overrun = shared.register.arrive(head.id, body_bytes).err();
            overrun.map(|Overrun| CloseReason::Violation("more than the credit of a stream"))
        }
        Tag::WindowUpdate => {
            note_opened(head, shared);
            None
        }
        Tag::Ping => {
            if let Some(asked) = pinged.take_if(|_| head.is_ack()) {
                shared.line.measured(asked.elapsed());
            }
            None
        }
        Tag::GoAway if head.length == 0 => Some(CloseReason::PeerLeft),
        Tag::GoAway => Some(CloseReason::PeerRefused(head.length)),
        Tag::Other => None,
    }
}

/// A stream that is opened and reset in one frame is none for yamux either: nobody would ever take it out again.
fn note_opened(head: Head, shared: &Shared) {
    if head.is_syn() && !head.is_reset() {
        shared.register.enter(head.id);
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
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
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;

    use super::Link;
    use crate::{config::Config, lock::lock, shared::Shared};

    #[test]
    fn a_stream_that_is_reset_with_its_first_frame_leaves_nothing() {
        const SYN: u8 = 1;
        const RST: u8 = 8;
        let shared = Shared::new(4, &Config::default());
        let link = Link::new(tokio::io::empty(), Arc::clone(&shared));
        for (tag, flags, id, is_known) in
            [(0, SYN, 5, true), (1, SYN, 7, true), (0, SYN | RST, 9, false), (1, SYN | RST, 11, false)]
        {
            lock(&link.wire).received(&[0, tag, 0, flags, 0, 0, 0, id, 0, 0, 0, 0]).unwrap();
            assert_eq!(shared.register.find(id.into()).is_some(), is_known, "{tag} {flags}");
        }
    }
}
