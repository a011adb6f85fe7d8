//! One stream: bytes both ways, with *end*, *abort* and *cut* told apart.
//!
//! Records alone say what an end means. Of yamux's own ways to end a stream, FIN is sent only when both directions
//! have ended and the stream goes; in every other state a dropped stream is reset, so the peer never writes to nobody.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use adit_wire::{
    limits::EARLY_BYTES_MAX,
    record::{AbortCode, RecordHeader},
    stream::{STREAM_HEADER_LEN, StreamHeader, StreamKind},
};
use futures::AsyncWrite as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

pub use datagram_io::DatagramIo;
pub(crate) use error::FromIoError;
pub use error::StreamError;
pub(crate) use packets::{Block, Packets};

use crate::{
    limits::FRAMES_PASSED_ON_MAX,
    shared::Seat,
    stream::{
        carries::Carries,
        inbound::Inbound,
        outbound::{Outbound, Phase},
        window::Window,
    },
};

mod ahead;
mod carries;
mod datagram_io;
mod error;
mod inbound;
mod outbound;
mod packets;
mod window;

/// What the agent says about the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Connected; bytes flow from now on.
    Dialled,
    /// Refused the connection; it saw nothing.
    Refused,
    /// Did not answer in time; it saw nothing.
    TimedOut,
}

/// One stream of a session. Reading yields end of file only after the peer's *end*; a stream that stops without it is
/// an error of kind [`io::ErrorKind::ConnectionReset`], see [`StreamError::of`]. Dropping it before both directions
/// have ended is a cut for the peer. As with TLS, flush before waiting for the peer: the last record written may still
/// wait here for room.
///
/// The opener may write [`EARLY_BYTES_MAX`] bytes at once; writing more waits for the agent's answer. Until then one task
/// must do both, reading and writing, because both wait for the same thing.
#[derive(Debug)]
pub struct Stream {
    // Fields drop in this order, after `drop`: as long as yamux knows the stream its frames are counted.
    raw: yamux::Stream,
    seat: Seat,
    inbound: Inbound,
    outbound: Outbound,
}

impl Stream {
    /// A stream that this side opened. Its header is under way when this returns: yamux announces a stream with the
    /// first bytes only, and a new stream always has room for them.
    pub(crate) fn open(raw: yamux::Stream, seat: Seat, header: &StreamHeader) -> Result<Self, StreamError> {
        let inbound = Inbound::of_opener(Window::new());
        let early_left = match Carries::of(header.kind) {
            Carries::Bytes => Some(EARLY_BYTES_MAX),
            // The first credit is bound enough: nobody resends what an agent did not pass on.
            Carries::Datagrams => None,
        };
        let mut stream = Self::new(raw, seat, inbound, (Phase::Open, early_left));
        stream.carry(header.kind);
        stream.send_now(&header.encode())?;
        Ok(stream)
    }

    /// A stream that the peer opened. The peer is told at once that it was accepted: yamux counts unanswered streams
    /// and stops opening at 256 of them.
    pub(crate) fn accept(raw: yamux::Stream, seat: Seat) -> Result<Self, StreamError> {
        let inbound = Inbound::of_acceptor(Window::new());
        let mut stream = Self::new(raw, seat, inbound, (Phase::OwesAnswer, None));
        stream.send_now(&RecordHeader::ACCEPTED.encode())?;
        Ok(stream)
    }

    fn new(
        raw: yamux::Stream,
        seat: Seat,
        inbound: Inbound,
        (phase, early_left): (Phase, Option<usize>),
    ) -> Self {
        let outbound = Outbound::new(phase, early_left, seat.shared());
        Self { raw, seat, inbound, outbound }
    }

    /// The header has said what the stream is made of.
    pub(crate) fn carry(&mut self, kind: StreamKind) {
        self.inbound.carry(Carries::of(kind));
    }

    fn send_now(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.outbound.stage(bytes);
        match self.outbound.poll_drain(&mut Context::from_waker(Waker::noop()), (&mut self.raw, &self.seat)) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    pub(crate) fn poll_header(
        &mut self,
        cx: &mut Context<'_>,
        block: &mut Block<STREAM_HEADER_LEN>,
    ) -> Poll<Result<[u8; STREAM_HEADER_LEN], StreamError>> {
        self.inbound.poll_stream_header(cx, block, (&mut self.raw, &self.seat))
    }

    /// Waits until the agent has said whether it reached the upstream; the opener's side only. Once said it is said
    /// again at every call. Reading waits for it too, so calling this is a choice.
    ///
    /// # Errors
    /// The stream ended before the answer, or the peer broke the protocol.
    pub async fn answer(&mut self) -> Result<Answer, StreamError> {
        poll_fn(|cx| self.inbound.poll_answer(cx, (&mut self.raw, &self.seat))).await
    }

    /// The agent's answer, as far as reading has come across it.
    #[must_use]
    pub fn answered(&self) -> Option<Answer> {
        self.inbound.answer()
    }

    /// Says whether the upstream was reached; the acceptor's side only, once, before any byte is written. After
    /// anything but [`Answer::Dialled`] the stream has no further use.
    ///
    /// # Errors
    /// The stream was cut, an answer was given before, or the peer has sent more than [`EARLY_BYTES_MAX`] without one.
    pub async fn send_answer(&mut self, answer: Answer) -> Result<(), StreamError> {
        if self.outbound.phase() != Phase::OwesAnswer {
            return Err(StreamError::NotWritable);
        }
        if answer == Answer::Dialled
            && self.inbound.carries() == Carries::Bytes
            && let Err(error) = self.inbound.set_early_aside((&mut self.raw, &self.seat))
        {
            self.outbound.abort_now(AbortCode::Protocol, (&mut self.raw, &self.seat));
            return Err(error);
        }
        let record = match answer {
            Answer::Dialled => RecordHeader::DIALLED,
            Answer::Refused => RecordHeader::REFUSED,
            Answer::TimedOut => RecordHeader::TIMED_OUT,
        };
        self.outbound.answered();
        self.outbound.stage(&record.encode());
        poll_fn(|cx| self.outbound.poll_drain(cx, (&mut self.raw, &self.seat))).await
    }

    /// Gives the stream up and tells the peer why, if there is room to tell it without waiting; else the peer sees a
    /// cut.
    pub fn abort(mut self, code: AbortCode) {
        self.outbound.abort_now(code, (&mut self.raw, &self.seat));
    }

    /// Waits until data can be looked at with [`Stream::data`]. `false`: the peer has ended its direction.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        let polled = self.inbound.poll_data(cx, (&mut self.raw, &self.seat));
        self.accuse();
        polled
    }

    /// Tells a peer that has broken the protocol.
    fn accuse(&mut self) {
        if self.inbound.is_violated() {
            self.outbound.abort_now(AbortCode::Protocol, (&mut self.raw, &self.seat));
        }
    }

    /// Waits until a datagram can be looked at with [`Stream::datagram`].
    pub(crate) fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let polled = self.inbound.poll_datagram(cx, (&mut self.raw, &self.seat));
        self.accuse();
        polled
    }

    pub(crate) fn datagram(&self) -> &[u8] {
        self.inbound.datagram()
    }

    pub(crate) fn consume_datagram(&mut self) {
        self.inbound.consume_datagram();
    }

    /// Moves one datagram of `io` into the stream, once the one before it is on its way.
    pub(crate) fn poll_send_from<I: DatagramIo>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut I,
    ) -> Poll<Result<(), FromIoError>> {
        ready!(self.poll_drain(cx)).map_err(FromIoError::Stream)?;
        ready!(self.outbound.poll_stage_datagram(cx, io)).map_err(FromIoError::Io)?;
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(FromIoError::Stream(error))),
            _ => Poll::Ready(Ok(())),
        }
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.inbound.data()
    }

    /// [`Stream::data`] and what has arrived behind it.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; FRAMES_PASSED_ON_MAX]) -> usize {
        self.inbound.slices(slices)
    }

    /// Looks for more data behind what there is.
    pub(crate) fn look_ahead(&mut self, cx: &mut Context<'_>) {
        self.inbound.look_ahead(cx, (&mut self.raw, &self.seat));
    }

    pub(crate) fn consume_data(&mut self, bytes: usize) {
        self.inbound.consume(bytes);
    }

    /// Ready when the peer has let go of the stream, also while nobody reads or writes. Wakes whoever writes.
    pub fn poll_severed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.seat.parked().writer.register(cx.waker());
        if self.seat.is_severed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Moves one read of `io` into the stream. Zero is the end of `io`.
    pub(crate) fn poll_write_from<I: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut I,
    ) -> Poll<Result<usize, FromIoError>> {
        ready!(self.poll_writable(cx)).map_err(FromIoError::Stream)?;
        let bytes = ready!(self.outbound.poll_stage_from(cx, (io, &self.seat))).map_err(FromIoError::Io)?;
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(FromIoError::Stream(error))),
            _ => Poll::Ready(Ok(bytes)),
        }
    }

    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.outbound.poll_end(cx, (&mut self.raw, &self.seat))
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if self.outbound.phase() != Phase::Open || self.inbound.carries() != Carries::Bytes {
            return Poll::Ready(Err(StreamError::NotWritable));
        }
        ready!(self.poll_early_room(cx))?;
        self.poll_drain(cx)
    }

    /// Waits for the agent's answer once all has been sent that may be sent without it.
    fn poll_early_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let Some(early_left) = self.outbound.early_left() else { return Poll::Ready(Ok(())) };
        let answer = match self.inbound.answer() {
            Some(answer) => answer,
            None if early_left > 0 => return Poll::Ready(Ok(())),
            None => ready!(self.inbound.poll_answer(cx, (&mut self.raw, &self.seat)))?,
        };
        if answer != Answer::Dialled {
            return Poll::Ready(Err(StreamError::NotReached(answer)));
        }
        self.outbound.dialled();
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.outbound.poll_drain(cx, (&mut self.raw, &self.seat)).map_err(|error| self.reason(cx, error))
    }

    /// An agent that says no lets go of the stream at once. A writer that finds it gone must hear the answer, which may
    /// still be unread: it decides whether the bytes may be sent again.
    fn reason(&mut self, cx: &mut Context<'_>, error: StreamError) -> StreamError {
        if self.outbound.early_left().is_none() {
            return error;
        }
        match self.inbound.poll_answer(cx, (&mut self.raw, &self.seat)) {
            Poll::Ready(Ok(Answer::Dialled)) | Poll::Pending => error,
            Poll::Ready(Ok(answer)) => StreamError::NotReached(answer),
            Poll::Ready(Err(reason)) => reason,
        }
    }
}

impl Drop for Stream {
    /// Says goodbye in yamux too where nothing is left to say. A reset would do for us, but some implementations throw
    /// away what they have not read yet when they see one.
    fn drop(&mut self) {
        if self.inbound.has_ended() && self.outbound.has_ended() {
            let _ = Pin::new(&mut self.raw).poll_close(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled_before = buf.filled().len();
        while buf.remaining() > 0 {
            match this.poll_data(cx) {
                Poll::Ready(Ok(true)) => {
                    let data = this.data();
                    let taken = data.get(..buf.remaining()).unwrap_or(data);
                    buf.put_slice(taken);
                    let taken = taken.len();
                    this.consume_data(taken);
                }
                // What stopped us is said again by the next call.
                _ if buf.filled().len() > filled_before => break,
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_data(cx))?;
        Poll::Ready(Ok(this.data()))
    }

    fn consume(self: Pin<&mut Self>, bytes: usize) {
        self.get_mut().consume_data(bytes);
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Takes at most one record's worth. What is taken is taken for good, even where yamux has no room for all of it.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_writable(cx))?;
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let taken = this.outbound.stage_data(bufs)?;
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        this.outbound.rest();
        Poll::Ready(Ok(()))
    }

    /// Sends *end*: this direction is complete. Reading goes on.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.outbound.phase() == Phase::OwesAnswer || this.inbound.carries() != Carries::Bytes {
            return Poll::Ready(Err(StreamError::NotWritable.into()));
        }
        this.poll_end(cx).map_err(io::Error::from)
    }
}
