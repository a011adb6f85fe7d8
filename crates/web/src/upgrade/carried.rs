//! A visitor's half of a protocol that was changed to, whose end says what it was.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tie::Tie;

/// Over HTTP/2: a stream that is reset (RFC 8441 section 5) when this is dropped, unless it was
/// [completed](Carried::complete), and that reads a reset as an error. Once this side has ended its direction, a visitor
/// who cancels looks like one who ends. Over HTTP/1.1 the connection sees to all of that.
pub struct Carried<I: Send + 'static> {
    io: Option<I>,
    tie: Option<Tie>,
    reading: Reading,
    is_ending: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    /// Nothing more comes; whether that is an end is being asked.
    Doubted,
    Ended,
}

impl<I: Send + 'static> Carried<I> {
    /// `tie` is that of the request, if it came over HTTP/2.
    pub fn new(io: I, tie: Option<Tie>) -> Self {
        Self { io: Some(io), tie, reading: Reading::Open, is_ending: false }
    }

    /// Both directions ended in order.
    pub fn complete(mut self) {
        self.tie = None;
    }

    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        // hyper's work is over once it has written our end, too.
        if let (Some(tie), false) = (&self.tie, self.is_ending)
            && ready!(tie.poll_reset(cx))
        {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        self.reading = Reading::Ended;
        Poll::Ready(Ok(()))
    }
}

impl<I: Send + Unpin + 'static> Carried<I> {
    fn io(&mut self) -> Result<Pin<&mut I>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| Error::from(ErrorKind::NotConnected))
    }
}

impl<I: AsyncRead + Send + Unpin + 'static> AsyncRead for Carried<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.reading {
            Reading::Ended => return Poll::Ready(Ok(())),
            Reading::Doubted => return self.poll_end(cx),
            Reading::Open => {}
        }
        let (before, has_room) = (buf.filled().len(), buf.remaining() > 0);
        ready!(self.io()?.poll_read(cx, buf))?;
        if has_room && buf.filled().len() == before {
            self.reading = Reading::Doubted;
            return self.poll_end(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Send + Unpin + 'static> AsyncWrite for Carried<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.io()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.io()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.is_ending = true;
        self.io()?.poll_shutdown(cx)
    }
}

impl<I: Send + 'static> Drop for Carried<I> {
    fn drop(&mut self) {
        if let (Some(tie), Some(io)) = (self.tie.take(), self.io.take()) {
            tie.give_up(io);
        }
    }
}
