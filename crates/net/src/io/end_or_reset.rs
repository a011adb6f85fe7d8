//! A connection with an end that cannot be mistaken.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;

/// A connection that ends cleanly only after a shutdown. Dropped without one it is reset, and so it is when the process is
/// killed: a peer that reads until the end would otherwise take what was cut for the whole. That TLS says so by
/// `close_notify`, many do not look at.
#[derive(Debug)]
pub struct EndOrReset<S: Socket> {
    stream: S,
}

impl<S: Socket> EndOrReset<S> {
    /// Takes a connection over.
    #[must_use]
    pub fn new(stream: S) -> Self {
        stream.reset_on_drop();
        Self { stream }
    }

    /// The connection underneath.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Socket> AsyncRead for EndOrReset<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Socket> AsyncWrite for EndOrReset<S> {
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
        self.stream.end_on_drop();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::EndOrReset;

    async fn pair() -> (EndOrReset<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (peer, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (EndOrReset::new(accepted.unwrap().0), peer.unwrap())
    }

    #[tokio::test]
    async fn a_shutdown_is_an_end() {
        let (mut connection, mut peer) = pair().await;
        connection.write_all(b"whole").await.unwrap();
        connection.shutdown().await.unwrap();
        drop(connection);
        let mut read = String::new();
        peer.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "whole");
    }

    #[tokio::test]
    async fn a_drop_is_a_cut() {
        let (mut connection, mut peer) = pair().await;
        connection.write_all(b"a part").await.unwrap();
        drop(connection);
        let mut read = Vec::new();
        assert_eq!(peer.read_to_end(&mut read).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
