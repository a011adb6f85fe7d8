//! Moves bytes between a stream and a socket, both ways, in one task.

mod blocked;

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use adit_wire::record::AbortCode;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep},
};

pub use self::blocked::Blocked;
use crate::{
    limits::{FRAMES_PASSED_ON_MAX, HALF_CLOSED_IDLE, SOCKET_STALL},
    stream::{FromIoError, Stream, StreamError},
};

/// What bounds one [`pump`].
#[derive(Debug, Clone)]
pub struct PumpLimits {
    /// How long the remaining direction may be silent once the other has ended.
    pub half_closed_idle: Duration,
    /// How long the socket may take none of the bytes, or the end, that wait for it.
    pub socket_stall: Duration,
    /// What the peer is told when the socket breaks.
    pub broken: AbortCode,
    /// What to do with bytes that have arrived when the peer lets go of the stream.
    pub severed: Severed,
}

/// What a [`pump`] does when its peer has let go of the stream while the socket does not take what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severed {
    /// Ends at once: whoever asked is gone, and its place is taken by the next.
    CutAtOnce,
    /// Delivers first, for as long as the socket takes something within the idle time: the peer may have ended its direction in order
    /// before it went.
    DeliverFirst,
}

impl PumpLimits {
    /// For an agent, whose socket is the upstream's.
    #[must_use]
    pub fn of_agent() -> Self {
        Self {
            half_closed_idle: HALF_CLOSED_IDLE,
            socket_stall: SOCKET_STALL,
            broken: AbortCode::UpstreamBroken,
            severed: Severed::CutAtOnce,
        }
    }

    /// For a server, whose socket is the visitor's.
    #[must_use]
    pub fn of_server() -> Self {
        Self {
            half_closed_idle: HALF_CLOSED_IDLE,
            socket_stall: SOCKET_STALL,
            broken: AbortCode::VisitorGone,
            severed: Severed::DeliverFirst,
        }
    }
}

/// Bytes moved so far, counted as they pass.
#[derive(Debug, Default)]
pub struct Traffic {
    to_io: AtomicU64,
    to_stream: AtomicU64,
}

impl Traffic {
    /// The socket took so many bytes.
    pub fn took(&self, bytes: usize) {
        count(&self.to_io, bytes);
    }

    /// The socket gave so many bytes.
    pub fn gave(&self, bytes: usize) {
        count(&self.to_stream, bytes);
    }

    /// Bytes that the socket took.
    pub fn to_io_bytes(&self) -> u64 {
        self.to_io.load(Ordering::Relaxed)
    }

    /// Bytes that the socket gave.
    pub fn to_stream_bytes(&self) -> u64 {
        self.to_stream.load(Ordering::Relaxed)
    }
}

/// How a [`pump`] ended. After anything but [`PumpEnd::Complete`] and [`PumpEnd::Unread`] the socket must be reset, not
/// closed: whoever is behind it would else take what it got for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PumpEnd {
    /// Both directions ended in order.
    Complete,
    /// The peer ended its direction in order and let go of the stream without reading all of ours.
    Unread,
    /// The stream or its connection ended without a word.
    Cut,
    /// The peer gave the stream up.
    Aborted(AbortCode),
    /// The peer broke the protocol of the stream.
    Violation(StreamError),
    /// The socket failed; the peer was told unless it had everything already.
    Broken(io::ErrorKind),
    /// One direction had ended and the other was silent for too long, or the socket took nothing for too long; the peer was
    /// told.
    Idle,
}

/// Moves bytes until both directions have ended or one of them fails. An end of file of `io` becomes *end*, an *end*
/// becomes a shutdown of `io`. A writing error of `io` does not yet end the other direction: servers that have answered
/// early close like this.
pub async fn pump<I>(stream: Stream, io: &mut I, limits: PumpLimits, traffic: &Traffic) -> PumpEnd
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut pump = Pump {
        stream,
        io,
        traffic,
        to_io: Way::Open,
        to_stream: Way::Open,
        needs_flush: false,
        is_severed: false,
        broken: None,
        idle: None,
        is_blocked: false,
        blocked: Blocked::default(),
    };
    let end = poll_fn(|cx| pump.poll(cx, &limits)).await;
    match end {
        PumpEnd::Broken(_) => pump.stream.abort(limits.broken),
        PumpEnd::Idle => pump.stream.abort(AbortCode::Idle),
        _ => {}
    }
    end
}

struct Pump<'a, I> {
    stream: Stream,
    io: &'a mut I,
    traffic: &'a Traffic,
    to_io: Way,
    to_stream: Way,
    needs_flush: bool,
    is_severed: bool,
    broken: Option<io::ErrorKind>,
    idle: Option<Pin<Box<Sleep>>>,
    /// The socket did not take what it was given.
    is_blocked: bool,
    blocked: Blocked,
}

/// How far one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Ending,
    Over,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Pump<'_, I> {
    fn poll(&mut self, cx: &mut Context<'_>, limits: &PumpLimits) -> Poll<PumpEnd> {
        let moved_before = self.moved();
        self.is_blocked = false;
        if let Poll::Ready(Err(end)) = self.poll_to_io(cx) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(Err(end)) = self.poll_to_stream(cx) {
            return Poll::Ready(end);
        }
        if self.to_stream != Way::Over && self.stream.poll_severed(cx).is_ready() {
            self.sever();
        }
        // Nobody would read what we still send; and where the socket takes nothing, nobody reads the stream's end.
        if self.is_severed && self.to_io == Way::Open {
            if limits.severed == Severed::CutAtOnce {
                return Poll::Ready(PumpEnd::Cut);
            }
            // What arrived since it was looked at last wakes nobody.
            if let Poll::Ready(Err(end)) = self.poll_to_io(cx) {
                return Poll::Ready(end);
            }
        }
        let to_io_bytes = self.traffic.to_io_bytes();
        if self.blocked.poll(cx, self.is_blocked.then_some(to_io_bytes), limits.socket_stall).is_ready() {
            return Poll::Ready(PumpEnd::Idle);
        }
        match (self.to_io, self.to_stream) {
            (Way::Over, Way::Over) => Poll::Ready(self.over()),
            (Way::Over, _) | (_, Way::Over) => self.poll_idle(cx, limits.half_closed_idle, moved_before),
            _ => Poll::Pending,
        }
    }

    fn sever(&mut self) {
        self.is_severed = true;
        self.to_stream = Way::Over;
    }

    fn over(&self) -> PumpEnd {
        match (self.broken, self.is_severed) {
            (Some(kind), _) => PumpEnd::Broken(kind),
            (None, true) => PumpEnd::Unread,
            (None, false) => PumpEnd::Complete,
        }
    }

    fn poll_to_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpEnd>> {
        while self.to_io == Way::Open {
            match self.stream.poll_data(cx) {
                Poll::Ready(Ok(true)) => {
                    if self.io.is_write_vectored() {
                        self.stream.look_ahead(cx);
                    }
                    let mut slices = [IoSlice::new(&[]); FRAMES_PASSED_ON_MAX];
                    let filled = self.stream.slices(&mut slices);
                    let slices = slices.get(..filled).unwrap_or_default();
                    let polled = Pin::new(&mut *self.io).poll_write_vectored(cx, slices);
                    let written = ready!(self.took(polled));
                    self.wrote(written);
                }
                Poll::Ready(Ok(false)) => self.to_io = Way::Ending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(end_of(error))),
                Poll::Pending => {
                    ready!(self.poll_flush_io(cx));
                    return Poll::Pending;
                }
            }
        }
        if self.to_io == Way::Ending {
            // A socket that is already gone has no other half to end.
            let polled = Pin::new(&mut *self.io).poll_shutdown(cx);
            let _ = ready!(self.took(polled));
            self.to_io = Way::Over;
        }
        Poll::Ready(Ok(()))
    }

    /// Notes whether the socket took what it was given.
    fn took<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        self.is_blocked = polled.is_pending();
        polled
    }

    fn wrote(&mut self, written: io::Result<usize>) {
        match written {
            Ok(bytes @ 1..) => {
                self.stream.consume_data(bytes);
                self.needs_flush = true;
                count(&self.traffic.to_io, bytes);
            }
            Ok(0) => self.write_failed(io::ErrorKind::WriteZero),
            Err(error) => self.write_failed(error.kind()),
        }
    }

    fn write_failed(&mut self, kind: io::ErrorKind) {
        self.broken = Some(kind);
        self.to_io = Way::Over;
    }

    fn poll_flush_io(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.needs_flush {
            let polled = Pin::new(&mut *self.io).poll_flush(cx);
            match ready!(self.took(polled)) {
                Ok(()) => self.needs_flush = false,
                Err(error) => self.write_failed(error.kind()),
            }
        }
        Poll::Ready(())
    }

    fn poll_to_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpEnd>> {
        while self.to_stream == Way::Open {
            match ready!(self.stream.poll_write_from(cx, self.io)) {
                Ok(0) => self.to_stream = Way::Ending,
                Ok(bytes) => count(&self.traffic.to_stream, bytes),
                Err(FromIoError::Io(error)) => return Poll::Ready(Err(PumpEnd::Broken(error.kind()))),
                Err(FromIoError::Stream(error)) => return Poll::Ready(self.failed_to_write(cx, error)),
            }
        }
        if self.to_stream == Way::Ending {
            if let Err(error) = ready!(self.stream.poll_end(cx)) {
                return Poll::Ready(self.failed_to_write(cx, error));
            }
            self.to_stream = Way::Over;
        }
        Poll::Ready(Ok(()))
    }

    /// What the reading half knows of the reason is more than what writing found.
    fn failed_to_write(&mut self, cx: &mut Context<'_>, error: StreamError) -> Result<(), PumpEnd> {
        match self.stream.poll_data(cx) {
            Poll::Ready(Err(reason)) => Err(end_of(reason)),
            _ if error == StreamError::Cut => {
                self.sever();
                Ok(())
            }
            _ => Err(end_of(error)),
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>, idle: Duration, moved_before: u64) -> Poll<PumpEnd> {
        let has_moved = self.moved() != moved_before;
        let timer = self.idle.get_or_insert_with(|| Box::pin(sleep(idle)));
        if has_moved {
            let now = Instant::now();
            timer.as_mut().reset(now.checked_add(idle).unwrap_or(now));
        }
        timer.as_mut().poll(cx).map(|()| PumpEnd::Idle)
    }

    fn moved(&self) -> u64 {
        self.traffic.to_io_bytes().wrapping_add(self.traffic.to_stream_bytes())
    }
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn end_of(error: StreamError) -> PumpEnd {
    match error {
        StreamError::Cut => PumpEnd::Cut,
        StreamError::Aborted(code) => PumpEnd::Aborted(code),
        other => PumpEnd::Violation(other),
    }
}
