//! A connection whose first bytes were read before, and are read again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Hands out bytes that were peeked at, then what follows on the connection. Writes pass straight through.
#[derive(Debug)]
pub struct Replay<T> {
    bytes: Vec<u8>,
    taken: usize,
    inner: T,
}

impl<T> Replay<T> {
    /// `bytes` come first, then what `inner` still has.
    pub const fn new(bytes: Vec<u8>, inner: T) -> Self {
        Self { bytes, taken: 0, inner }
    }

    /// The connection underneath.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The bytes that were not read again yet.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The bytes that were not read again yet, and the connection.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, T) {
        let pending = self.pending().to_vec();
        (pending, self.inner)
    }

    /// Moves what fits into `out`; the last byte taken frees the memory.
    fn replay(&mut self, out: &mut ReadBuf<'_>) {
        let pending = self.pending();
        let count = pending.len().min(out.remaining());
        out.put_slice(pending.get(..count).unwrap_or_default());
        self.taken = self.taken.saturating_add(count);
        if self.taken >= self.bytes.len() {
            self.bytes = Vec::new();
            self.taken = 0;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Replay<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.bytes.is_empty() {
            return Pin::new(&mut this.inner).poll_read(context, out);
        }
        this.replay(out);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Replay<T> {
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

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::Replay;

    #[tokio::test]
    async fn peeked_bytes_come_first_and_writes_pass() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b" world").await.unwrap();
        let mut replay = Replay::new(b"hello".to_vec(), near);

        let mut two = [0; 2];
        replay.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"he");
        assert_eq!(replay.pending(), b"llo");

        replay.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        far.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");

        drop(far);
        let mut rest = String::new();
        replay.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "llo world");
    }

    #[tokio::test]
    async fn the_parts_are_what_was_not_read_again() {
        let mut replay = Replay::new(b"abc".to_vec(), tokio::io::empty());
        assert_eq!(replay.read_u8().await.unwrap(), b'a');
        let (pending, _inner) = replay.into_parts();
        assert_eq!(pending, b"bc");
    }
}
