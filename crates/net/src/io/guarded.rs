//! A connection whose end cannot be mistaken, whatever ends its task.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{client, server};

use super::Replay;
use crate::connection::Connection;

/// Something with a connection at its bottom.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// See [`Connection::reset_on_drop`].
    fn reset_on_drop(&self);
    /// See [`Connection::end_on_drop`].
    fn end_on_drop(&self);
}

impl<C: Connection> Socket for C {
    fn reset_on_drop(&self) {
        Connection::reset_on_drop(self);
    }

    fn end_on_drop(&self) {
        Connection::end_on_drop(self);
    }
}

impl<C: Connection> Socket for Replay<C> {
    fn reset_on_drop(&self) {
        self.get_ref().reset_on_drop();
    }

    fn end_on_drop(&self) {
        self.get_ref().end_on_drop();
    }
}

impl<C: Connection> Socket for Box<client::TlsStream<C>> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }

    fn end_on_drop(&self) {
        self.get_ref().0.end_on_drop();
    }
}

impl<C: Connection> Socket for server::TlsStream<Replay<C>> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }

    fn end_on_drop(&self) {
        self.get_ref().0.end_on_drop();
    }
}

/// A connection that is reset however it ends, unless it was [completed](Guarded::complete): also when its task is aborted
/// or panics, and when the process is killed, whose connections the kernel closes. Whoever is at its other end would else
/// take what it got for the whole.
#[derive(Debug)]
pub struct Guarded<T: Socket> {
    io: T,
}

impl<T: Socket> Guarded<T> {
    /// Takes a connection over.
    pub fn new(io: T) -> Self {
        io.reset_on_drop();
        Self { io }
    }

    /// The connection.
    pub const fn io(&mut self) -> &mut T {
        &mut self.io
    }

    /// Both directions ended in order: the connection may be closed.
    pub fn complete(self) {
        self.io.end_on_drop();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::Guarded;

    async fn pair() -> (Guarded<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (peer, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Guarded::new(accepted.unwrap().0), peer.unwrap())
    }

    #[tokio::test]
    async fn what_was_completed_is_closed() {
        let (mut guarded, mut peer) = pair().await;
        guarded.io().write_all(b"whole").await.unwrap();
        guarded.complete();
        let mut read = String::new();
        peer.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "whole");
    }

    /// A shutdown of one direction says nothing about the other: only who carried both knows.
    #[tokio::test]
    async fn what_was_not_is_reset() {
        let (mut guarded, mut peer) = pair().await;
        guarded.io().shutdown().await.unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        drop(guarded);
        loop {
            // The reset is under way.
            match peer.write(b"more").await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
                    return;
                }
            }
        }
    }
}
