//! TCP without TLS, with an end that cannot be mistaken.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;

/// A connection that ends cleanly only after a shutdown. Dropped without one it is reset: a peer that reads until
/// the end would otherwise take what was cut for the whole. TLS has its own way to say so.
#[derive(Debug)]
pub struct Plain<S: Connection> {
    stream: S,
    ended: bool,
}

impl<S: Connection> Plain<S> {
    /// Takes a connection over.
    #[must_use]
    pub const fn new(stream: S) -> Self {
        Self { stream, ended: false }
    }
}

impl<S: Connection> Drop for Plain<S> {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.reset_on_drop();
        }
    }
}

impl<S: Connection> AsyncRead for Plain<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Connection> AsyncWrite for Plain<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.ended = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::Plain;

    async fn pair() -> (Plain<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (peer, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Plain::new(accepted.unwrap().0), peer.unwrap())
    }

    #[tokio::test]
    async fn a_shutdown_is_an_end() {
        let (mut plain, mut peer) = pair().await;
        plain.write_all(b"whole").await.unwrap();
        plain.shutdown().await.unwrap();
        drop(plain);
        let mut read = String::new();
        peer.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "whole");
    }

    #[tokio::test]
    async fn a_drop_is_a_cut() {
        let (mut plain, mut peer) = pair().await;
        plain.write_all(b"a part").await.unwrap();
        drop(plain);
        let mut read = Vec::new();
        assert_eq!(peer.read_to_end(&mut read).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
