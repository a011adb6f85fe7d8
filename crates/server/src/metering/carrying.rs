//! Bodies and connections that count what passes through them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Count;
use crate::access::By;

/// An upstream's body whose data is counted when it is taken. Trailers and framing are not.
pub(crate) struct CountedBody<B> {
    body: B,
    count: Count,
}

impl<B: Body> CountedBody<B> {
    /// Counts what goes to the visitor, who then has been served when that has come to its end.
    pub(crate) fn outgoing(body: B, count: Count) -> Self {
        let counted = Self { body, count };
        counted.look_for_end();
        counted
    }

    /// Whoever knows the length from its header does not ask for the end.
    fn look_for_end(&self) {
        if self.count.access().is_kept() && self.body.is_end_stream() {
            self.count.access().served();
        }
    }

    fn came(&self, frame: &Frame<B::Data>) {
        if let Some(data) = frame.data_ref() {
            self.count.outgoing(data.remaining());
        }
        if frame.is_trailers() {
            self.count.access().served();
        }
        self.look_for_end();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.came(frame),
            Poll::Ready(Some(Err(_))) => self.count.access().cut(By::Upstream),
            Poll::Ready(None) => self.count.access().served(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A visitor's connection whose bytes pass as they are: what is read from it comes in, what it takes goes out.
pub(crate) struct CountedIo<I> {
    io: I,
    count: Count,
}

impl<I> CountedIo<I> {
    /// Counts this connection, and from now on its bytes.
    pub(crate) fn new(io: I, count: Count) -> Self {
        count.connection();
        Self { io, count }
    }

    fn took(&self, written: io::Result<usize>) -> io::Result<usize> {
        written.inspect(|bytes| self.count.outgoing(*bytes))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for CountedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.count.incoming(buf.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for CountedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        Poll::Ready(self.took(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        Poll::Ready(self.took(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
