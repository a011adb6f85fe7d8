//! Moves what is said in a visitor's TLS to the upstream and back, in one task. The end of one side's sending is passed on
//! as what the other has for it: `close_notify` (RFC 8446, section 6.1) and TCP's FIN. Whatever else ends the visitor's bytes
//! is a cut: also the end of its connection without `close_notify`, which anybody in between could have made.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adit_mux::limits::{HALF_CLOSED_IDLE, SOCKET_STALL};
use adit_mux::{Blocked, PumpEnd, StreamError, Traffic};
use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::limits::FERRY_BYTES;

/// Carries both directions until both have ended, or one of them fails. `severed` is ready when the visitor is gone, also
/// while nothing is read. An upstream that takes nothing for [`SOCKET_STALL`] is given up. After anything but
/// [`PumpEnd::Complete`] the upstream must be reset.
pub(super) async fn carry<S, U>(
    visitor: &mut TlsStream<S>,
    upstream: &mut U,
    severed: impl Fn(&S, &mut Context<'_>) -> Poll<()>,
    traffic: &Traffic,
) -> PumpEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut ferry = Ferry {
        visitor,
        upstream,
        there: Course::default(),
        back: Course::default(),
        idle: None,
        blocked: Blocked::default(),
    };
    poll_fn(|cx| {
        let (there, back) = (ferry.there.moved_bytes, ferry.back.moved_bytes);
        let polled = ferry.poll(cx, &severed);
        traffic.took(ferry.there.moved_bytes.wrapping_sub(there));
        traffic.gave(ferry.back.moved_bytes.wrapping_sub(back));
        polled
    })
    .await
}

struct Ferry<'a, S, U> {
    visitor: &'a mut TlsStream<S>,
    upstream: &'a mut U,
    there: Course,
    back: Course,
    idle: Option<Pin<Box<Sleep>>>,
    /// The upstream's clock. The visitor's runs at the node, which sees its socket.
    blocked: Blocked,
}

impl<S, U> Ferry<'_, S, U>
where
    S: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        severed: impl Fn(&S, &mut Context<'_>) -> Poll<()>,
    ) -> Poll<PumpEnd> {
        let moved_before = self.moved();
        match self.there.poll(cx, self.visitor, self.upstream) {
            // Services that have answered early close like this: what they said must still get through.
            Poll::Ready(Err(Fault::Writing(error))) => self.there.broke(error.kind()),
            Poll::Ready(Err(Fault::Reading(error))) => return Poll::Ready(of_visitor(&error)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match self.back.poll(cx, self.upstream, self.visitor) {
            Poll::Ready(Err(Fault::Reading(error))) => return Poll::Ready(PumpEnd::Broken(error.kind())),
            Poll::Ready(Err(Fault::Writing(error))) => return Poll::Ready(self.lost(&error)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if !self.back.is_over() && severed(self.visitor.get_ref().0, cx).is_ready() {
            return Poll::Ready(self.gone());
        }
        let waiting = self.there.is_blocked().then_some(self.there.moved_bytes as u64);
        if self.blocked.poll(cx, waiting, SOCKET_STALL).is_ready() {
            return Poll::Ready(PumpEnd::Idle);
        }
        match (self.there.is_over(), self.back.is_over()) {
            (true, true) => Poll::Ready(self.there.broken.map_or(PumpEnd::Complete, PumpEnd::Broken)),
            (false, false) => Poll::Pending,
            _ => self.poll_idle(cx, HALF_CLOSED_IDLE, moved_before),
        }
    }

    /// The visitor does not take what the upstream says.
    fn lost(&self, error: &io::Error) -> PumpEnd {
        match of_visitor(error) {
            PumpEnd::Cut => self.gone(),
            end => end,
        }
    }

    fn gone(&self) -> PumpEnd {
        if self.there.is_over() { PumpEnd::Unread } else { PumpEnd::Cut }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>, idle: Duration, moved_before: usize) -> Poll<PumpEnd> {
        let has_moved = self.moved() != moved_before;
        let timer = self.idle.get_or_insert_with(|| Box::pin(sleep(idle)));
        if has_moved {
            timer.as_mut().reset(Instant::now() + idle);
        }
        timer.as_mut().poll(cx).map(|()| PumpEnd::Idle)
    }

    const fn moved(&self) -> usize {
        self.there.moved_bytes.wrapping_add(self.back.moved_bytes)
    }
}

/// How the visitor's side failed. What TLS itself objects to has been said to the visitor by an alert.
fn of_visitor(error: &io::Error) -> PumpEnd {
    match StreamError::of(error) {
        Some(StreamError::Aborted(code)) => PumpEnd::Aborted(code),
        _ => PumpEnd::Cut,
    }
}

/// One direction, and what of it was read and not yet written. It has memory only while bytes are under way.
#[derive(Default)]
struct Course {
    held: Vec<u8>,
    written: usize,
    needs_flush: bool,
    way: Way,
    moved_bytes: usize,
    broken: Option<io::ErrorKind>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    #[default]
    Open,
    Ending,
    Over,
}

/// Which side failed.
enum Fault {
    Reading(io::Error),
    Writing(io::Error),
}

impl Course {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while self.way == Way::Open {
            ready!(self.poll_write(cx, to)).map_err(Fault::Writing)?;
            match self.poll_read(cx, from) {
                Poll::Ready(Ok(0)) => self.way = Way::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Reading(error))),
                Poll::Pending => return self.poll_flush(cx, to).map_err(Fault::Writing).map_ok(drop),
            }
        }
        if self.way == Way::Ending {
            ready!(Pin::new(to).poll_shutdown(cx)).map_err(Fault::Writing)?;
            self.way = Way::Over;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        self.held.reserve_exact(FERRY_BYTES);
        let read = {
            let mut room = (&mut self.held).limit(FERRY_BYTES);
            pin!(from.read_buf(&mut room)).poll(cx)
        };
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        read
    }

    /// Waits until nothing is held.
    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            let bytes = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += bytes;
            self.moved_bytes = self.moved_bytes.wrapping_add(bytes);
            self.needs_flush = true;
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.needs_flush {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Pending
    }

    /// Nothing more gets through in this direction.
    fn broke(&mut self, kind: io::ErrorKind) {
        self.held = Vec::new();
        self.broken = Some(kind);
        self.way = Way::Over;
    }

    fn is_over(&self) -> bool {
        self.way == Way::Over
    }

    /// Whether something waits for the side that it goes to: bytes, or their end.
    fn is_blocked(&self) -> bool {
        match self.way {
            Way::Open => !self.held.is_empty() || self.needs_flush,
            Way::Ending => true,
            Way::Over => false,
        }
    }
}
