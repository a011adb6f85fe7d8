//! A connection's transport that tells what passes through it.

use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::ahead::Ahead;
use super::interlude::Interlude;
use super::linger::Linger;
use super::own::Own;
use crate::stall::Stall;

pub(super) struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
    stall: Stall,
    ahead: Ahead,
    /// Our end is closed; the peer still sends.
    linger: Option<Linger>,
    /// On its way in place of hyper's answer.
    own: Option<Own>,
    /// On its way between hyper's messages.
    interlude: Interlude,
}

impl<I> Watched<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>, write_stall: Duration) -> Self {
        let interlude = Interlude::new(Arc::clone(activity.lane()));
        let stall = Stall::new(write_stall);
        Self { io, activity, stall, ahead: Ahead::default(), linger: None, own: None, interlude }
    }

    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        outcome: Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = outcome {
            let mut left = bytes;
            self.activity.wrote(bufs.iter().map(|buf| {
                let taken = left.min(buf.len());
                left = left.saturating_sub(taken);
                buf.get(..taken).unwrap_or_default()
            }));
        }
        self.stall.limit(cx, outcome)
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    /// Writes our answer where hyper writes its own; `None` where hyper's bytes are to go out as they are.
    fn write_own(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<Result<usize>>> {
        if self.own.is_none() && self.activity.is_head_alone() {
            self.own = Own::in_place_of(bytes);
        }
        loop {
            let own = self.own.as_mut()?;
            let outcome = Pin::new(&mut self.io).poll_write(cx, own.left());
            let written = match self.stall.limit(cx, outcome) {
                Poll::Ready(Ok(written @ 1..)) => written,
                other => return Some(other),
            };
            if let Some(bytes) = own.advance(written) {
                self.own = None;
                return Some(Poll::Ready(Ok(bytes)));
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    /// Writes what has its place here, as `left` says.
    fn write_interlude(
        &mut self,
        cx: &mut Context<'_>,
        left: impl Fn(&mut Interlude) -> &[u8],
    ) -> Poll<Result<()>> {
        loop {
            let bytes = left(&mut self.interlude);
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
            match ready!(self.stall.limit(cx, outcome))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.interlude.advance(written),
            }
        }
    }
}

impl<I: AsyncRead + Unpin> Watched<I> {
    /// hyper reads nothing while it waits for an answer, so nobody else would see that the peer is gone.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if self.activity.is_answering() && self.ahead.look(&mut self.io, cx)? {
            self.activity.half_closed();
        }
        Ok(())
    }
}

impl<I: AsyncRead + Unpin> Watched<I> {
    /// Waits until there is something to read, if only the end.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.ahead.look(&mut self.io, cx)?;
        if self.ahead.is_known() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    /// Tells the peer why it is cut, if it takes that now: whoever floods is not waited for.
    fn bid_farewell(&mut self, cx: &mut Context<'_>) {
        let Some(frame) = self.activity.farewell() else { return };
        if let Poll::Ready(Ok(_)) = Pin::new(&mut self.io).poll_write(cx, &frame) {
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        if !this.ahead.take(buf) {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        }
        let taken = this.activity.read(buf.filled().get(before..).unwrap_or_default());
        if taken.is_err() {
            this.bid_farewell(cx);
        }
        Poll::Ready(taken)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        if let Some(outcome) = self.write_own(cx, buf) {
            return outcome;
        }
        ready!(self.write_interlude(cx, Interlude::before_bytes))?;
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(cx, &[IoSlice::new(buf)], outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if let [buf] = bufs
            && let Some(outcome) = self.write_own(cx, buf)
        {
            return outcome;
        }
        ready!(self.write_interlude(cx, Interlude::before_bytes))?;
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(cx, bufs, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.look_ahead(cx)?;
        self.interlude.flushed(cx.waker());
        ready!(self.write_interlude(cx, Interlude::left))?;
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            self.activity.flushed();
        }
        self.stall.limit(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        this.activity.ending();
        if this.linger.is_none() {
            let outcome = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.stall.limit(cx, outcome))?;
            if !this.activity.is_mid_request() {
                return Poll::Ready(Ok(()));
            }
        }
        this.linger.get_or_insert_with(Linger::new).poll(&mut this.io, cx).map(Ok)
    }
}
