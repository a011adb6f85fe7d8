//! A connection on which a failed write waits for what the peer said before it let go.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An upstream may answer before it has read the whole request, and let go (RFC 9112, section 9.3). A client that meets
/// the failed write first would throw that answer away. Here writing fails only once reading has ended; until
/// then it is pending, so the same task must read as well, as hyper's does.
pub(super) struct AnswerFirst<I> {
    io: I,
    has_read_all: bool,
}

impl<I> AnswerFirst<I> {
    pub(super) const fn new(io: I) -> Self {
        Self { io, has_read_all: false }
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }

    fn wrote<T>(&self, written: Poll<Result<T>>) -> Poll<Result<T>> {
        match written {
            Poll::Ready(Err(_)) if !self.has_read_all => Poll::Pending,
            written => written,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for AnswerFirst<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let (before, had_room) = (buf.filled().len(), buf.remaining() > 0);
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.has_read_all |= read.is_err() || (had_room && buf.filled().len() == before);
        Poll::Ready(read)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for AnswerFirst<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
