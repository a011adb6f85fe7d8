//! A connection whose end cannot be mistaken, whatever ends its task.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{client, server};

use super::Replay;
use crate::connection::Connection;

/// Something with a connection at its bottom.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// See [`Connection::reset_on_drop`].
    fn reset_on_drop(&self);
}

impl<C: Connection> Socket for C {
    fn reset_on_drop(&self) {
        Connection::reset_on_drop(self);
    }
}

impl<C: Connection> Socket for Replay<C> {
    fn reset_on_drop(&self) {
        self.get_ref().reset_on_drop();
    }
}

impl<C: Connection> Socket for Box<client::TlsStream<C>> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

impl<C: Connection> Socket for server::TlsStream<Replay<C>> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

/// A connection that is reset when it is dropped, unless it was [completed](Guarded::complete): also when its task
/// is aborted or panics. Whoever is at its other end would else take what it got for the whole.
#[derive(Debug)]
pub struct Guarded<T: Socket> {
    io: T,
    is_complete: bool,
}

impl<T: Socket> Guarded<T> {
    /// Takes a connection over.
    pub const fn new(io: T) -> Self {
        Self { io, is_complete: false }
    }

    /// The connection.
    pub const fn io(&mut self) -> &mut T {
        &mut self.io
    }

    /// Both directions ended in order: the connection may be closed.
    pub fn complete(mut self) {
        self.is_complete = true;
    }
}

impl<T: Socket> Drop for Guarded<T> {
    fn drop(&mut self) {
        if !self.is_complete {
            self.io.reset_on_drop();
        }
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
