//! A read buffer under TLS.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::limits::LINK_READ_BUFFER_BYTES;

thread_local! {
    /// The buffer that no connection of this thread uses now. Each is used for moments, many thousand times a second, and is
    /// of a size for which the allocator tidies up whenever it comes back, with everybody else waiting.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn borrow() -> Vec<u8> {
    let spare = SPARE.try_with(Cell::take).unwrap_or_default();
    if spare.capacity() == 0 { Vec::with_capacity(LINK_READ_BUFFER_BYTES) } else { spare }
}

fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    // A thread that ends keeps none.
    let _ = SPARE.try_with(|spare| spare.set(buffer));
}

/// Reads up to [`LINK_READ_BUFFER_BYTES`] per system call, whatever the reader above asks for. The buffer is borrowed
/// while bytes flow: a connection with nothing to read has none. Writes pass straight through.
#[derive(Debug)]
pub struct Buffered<T> {
    buffer: Vec<u8>,
    taken: usize,
    inner: T,
}

impl<T> Buffered<T> {
    /// Buffers what is read from `inner`.
    pub const fn new(inner: T) -> Self {
        Self { buffer: Vec::new(), taken: 0, inner }
    }

    /// The connection underneath.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Bytes of memory held for reading at this moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }
}

impl<T: AsyncRead + Unpin> Buffered<T> {
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.buffer.clear();
        self.taken = 0;
        if self.buffer.capacity() == 0 {
            self.buffer = borrow();
        }
        let polled = pin!(self.inner.read_buf(&mut self.buffer)).poll(context);
        if self.buffer.is_empty() {
            // Nothing to read now, or ever: the memory is of use elsewhere.
            give_back(std::mem::take(&mut self.buffer));
        }
        polled.map_ok(drop)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Buffered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pending().is_empty() {
            if out.remaining() >= LINK_READ_BUFFER_BYTES {
                return Pin::new(&mut this.inner).poll_read(context, out);
            }
            ready!(this.fill(context))?;
        }
        let pending = this.pending();
        let count = pending.len().min(out.remaining());
        out.put_slice(pending.get(..count).unwrap_or_default());
        this.taken = this.taken.saturating_add(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Buffered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::task::{Context, Poll, Waker};

    use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf, duplex};

    use super::Buffered;
    use crate::limits::LINK_READ_BUFFER_BYTES;

    fn poll_once(io: &mut Buffered<tokio::io::DuplexStream>) -> Poll<usize> {
        let mut byte = [0; 1];
        let mut out = ReadBuf::new(&mut byte);
        let polled = std::pin::Pin::new(io).poll_read(&mut Context::from_waker(Waker::noop()), &mut out);
        polled.map(|done| done.map(|()| out.filled().len()).unwrap())
    }

    #[tokio::test]
    async fn memory_is_held_only_while_bytes_flow() {
        let (near, mut far) = duplex(2 * LINK_READ_BUFFER_BYTES);
        let mut io = Buffered::new(near);
        assert_eq!(io.held_bytes(), 0);

        far.write_all(b"ab").await.unwrap();
        assert_eq!(poll_once(&mut io), Poll::Ready(1));
        assert_eq!(io.held_bytes(), LINK_READ_BUFFER_BYTES);
        assert_eq!(poll_once(&mut io), Poll::Ready(1));

        assert_eq!(poll_once(&mut io), Poll::Pending);
        assert_eq!(io.held_bytes(), 0);
    }

    #[tokio::test]
    async fn connections_of_one_thread_use_one_buffer_in_turn() {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (near, mut far) = duplex(16);
            let mut io = Buffered::new(near);
            far.write_all(b"a").await.unwrap();
            assert_eq!(poll_once(&mut io), Poll::Ready(1));
            seen.push(io.buffer.as_ptr());
            assert_eq!((poll_once(&mut io), io.held_bytes()), (Poll::Pending, 0));
        }
        assert_eq!(seen.first(), seen.last());
    }

    #[tokio::test]
    async fn every_byte_arrives_once_at_the_sizes_around_the_buffer() {
        for size in [LINK_READ_BUFFER_BYTES - 1, LINK_READ_BUFFER_BYTES, LINK_READ_BUFFER_BYTES + 1] {
            let sent: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let (near, mut far) = duplex(2 * LINK_READ_BUFFER_BYTES);
            far.write_all(&sent).await.unwrap();
            drop(far);

            let mut io = Buffered::new(near);
            let mut got = Vec::new();
            let mut part = [0; 4096];
            loop {
                let count = io.read(&mut part).await.unwrap();
                if count == 0 {
                    break;
                }
                assert!(io.held_bytes() <= LINK_READ_BUFFER_BYTES);
                got.extend_from_slice(part.get(..count).unwrap());
            }
            assert!(got == sent, "{size} bytes");
            assert_eq!(io.held_bytes(), 0);
        }
    }
}
