//! The socket of one flow of datagrams, from which the upstream sees one visitor.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adit_mux::DatagramIo;
use adit_net::dial::{self, DialError};
use adit_net::udp;
use adit_wire::limits::DATAGRAM_BYTES_MAX;
use bytes::BufMut as _;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::limits::{DATAGRAM_RESENT_BYTES_MAX, FLOW_ERRORS_MAX, UPSTREAM_DIAL};

/// What a socket tells of its upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// It has answered; said once.
    Answer,
    /// Nobody takes datagrams there; said for each one that was refused.
    Refusal,
}

type Failure = Pin<Box<dyn Future<Output = io::Error> + Send>>;

/// A socket that talks to the upstream alone.
pub(crate) struct UpstreamSocket<H> {
    socket: Arc<UdpSocket>,
    /// Waits for what is said about datagrams that were sent.
    failure: Failure,
    /// Where else the upstream may be, the next one last: that nobody listens is found out only by sending.
    others: Vec<SocketAddr>,
    /// The last datagram, as long as another address may have to get it.
    unanswered: Option<Vec<u8>>,
    /// Whether that is to be sent again.
    owes: bool,
    has_heard: bool,
    errors: u32,
    tell: H,
}

impl<H: Fn(Word)> UpstreamSocket<H> {
    /// A socket for the first address of `host` that there is a way to.
    ///
    /// # Errors
    /// The name has no address, there is no way to any of them, or no descriptor is left.
    pub(crate) async fn connect(host: &str, port: u16, tell: H) -> Result<Self, DialError> {
        let deadline = Instant::now() + UPSTREAM_DIAL;
        let mut others = dial::addresses(host, port, deadline).await?;
        others.reverse();
        let socket = first_of(&mut others).map_err(|source| DialError::Unreachable {
            host: host.to_owned(),
            port,
            source,
        })?;
        let failure = failure_of(&socket);
        let (unanswered, owes, has_heard, errors) = (None, false, false, 0);
        Ok(Self { socket, failure, others, unanswered, owes, has_heard, errors, tell })
    }

    fn answered(&mut self) {
        self.errors = 0;
        if !self.has_heard {
            self.has_heard = true;
            (self.others, self.unanswered, self.owes) = (Vec::new(), None, false);
            (self.tell)(Word::Answer);
        }
    }

    /// Nobody listens at this address. The upstream may have another one.
    fn refused(&mut self) {
        match first_of(&mut self.others) {
            Ok(socket) => {
                self.failure = failure_of(&socket);
                self.socket = socket;
                self.owes = self.unanswered.is_some();
            }
            Err(_) => (self.tell)(Word::Refusal),
        }
    }

    /// That a datagram was refused ends nothing: the service may be starting.
    fn failed(&mut self, error: io::Error) -> io::Result<()> {
        if error.kind() == ErrorKind::ConnectionRefused {
            self.refused();
            return Ok(());
        }
        tracing::debug!(%error, "the upstream's socket");
        self.errors = self.errors.saturating_add(1);
        if self.errors >= FLOW_ERRORS_MAX { Err(error) } else { Ok(()) }
    }

    fn poll_resend(&mut self, cx: &mut Context<'_>) {
        if !self.owes || self.socket.poll_send_ready(cx).is_pending() {
            return;
        }
        let sent = self.unanswered.as_ref().map(|datagram| self.socket.try_send(datagram));
        self.owes = matches!(sent, Some(Err(error)) if error.kind() == ErrorKind::WouldBlock);
    }

    fn keep(&mut self, datagram: &[u8]) {
        let may_go_elsewhere = !self.has_heard && !self.others.is_empty();
        let kept = Some(datagram).filter(|sent| may_go_elsewhere && sent.len() <= DATAGRAM_RESENT_BYTES_MAX);
        self.unanswered = kept.map(<[u8]>::to_vec);
    }
}

/// The next address to which there is a way.
fn first_of(others: &mut Vec<SocketAddr>) -> io::Result<Arc<UdpSocket>> {
    let mut failure = ErrorKind::NotFound.into();
    while let Some(next) = others.pop() {
        match udp::connect(next) {
            Ok(socket) => return Ok(Arc::new(socket)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn failure_of(socket: &Arc<UdpSocket>) -> Failure {
    Box::pin(udp::failure(Arc::clone(socket)))
}

impl<H: Fn(Word)> DatagramIo for UpstreamSocket<H> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let before = datagram.len();
        loop {
            self.poll_resend(cx);
            if let Poll::Ready(error) = self.failure.as_mut().poll(cx) {
                self.failure = failure_of(&self.socket);
                self.failed(error)?;
                continue;
            }
            ready!(self.socket.poll_recv_ready(cx))?;
            datagram.reserve_exact(DATAGRAM_BYTES_MAX + 1);
            // One byte more shows what is too long.
            let read = self.socket.try_recv_buf(&mut (&mut *datagram).limit(DATAGRAM_BYTES_MAX + 1));
            match read {
                Ok(bytes) if bytes <= DATAGRAM_BYTES_MAX => {
                    self.answered();
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => datagram.truncate(before),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => self.failed(error)?,
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        // What is wrong with an earlier datagram may be told to the next one, which was not sent then.
        let mut is_second = false;
        loop {
            if ready!(self.socket.poll_send_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match self.socket.try_send(datagram) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !is_second => is_second = true,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && !is_second => {
                    is_second = true;
                    self.refused();
                }
                Err(error) => {
                    tracing::debug!(%error, bytes = datagram.len(), "a datagram was not sent");
                    return Poll::Ready(());
                }
                Ok(_) => {
                    self.keep(datagram);
                    return Poll::Ready(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::future::poll_fn;
    use std::io::ErrorKind;
    use std::sync::Mutex;
    use std::task::Poll;

    use adit_mux::DatagramIo as _;
    use adit_wire::limits::DATAGRAM_BYTES_MAX;
    use tokio::net::UdpSocket;

    use super::{UpstreamSocket, Word};
    use crate::limits::{DATAGRAM_RESENT_BYTES_MAX, FLOW_ERRORS_MAX};

    async fn send<H: Fn(Word)>(socket: &mut UpstreamSocket<H>, datagram: &[u8]) {
        poll_fn(|cx| socket.poll_send(cx, datagram)).await;
    }

    async fn receive<H: Fn(Word)>(socket: &mut UpstreamSocket<H>) -> Vec<u8> {
        let mut datagram = b"head".to_vec();
        poll_fn(|cx| socket.poll_recv(cx, &mut datagram)).await.unwrap();
        assert_eq!(&datagram[..4], b"head");
        datagram.split_off(4)
    }

    #[tokio::test]
    async fn datagrams_of_any_size_pass_whole() {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        let mut socket = UpstreamSocket::connect("127.0.0.1", port, |_| {}).await.unwrap();
        for bytes in [0, 1, 1_472, DATAGRAM_BYTES_MAX - 1, DATAGRAM_BYTES_MAX] {
            let datagram = vec![7; bytes];
            send(&mut socket, &datagram).await;
            let mut room = vec![0; DATAGRAM_BYTES_MAX + 1];
            let (read, from) = upstream.recv_from(&mut room).await.unwrap();
            assert!(room[..read] == datagram, "{bytes}");
            upstream.send_to(&datagram, from).await.unwrap();
            assert!(receive(&mut socket).await == datagram, "{bytes}");
        }
    }

    /// An upstream at the second address of localhost, and its port.
    async fn only_at_the_other_address() -> (UdpSocket, u16) {
        loop {
            let upstream = UdpSocket::bind("[::1]:0").await.unwrap();
            let port = upstream.local_addr().unwrap().port();
            // Nobody may be at the first address.
            if UdpSocket::bind(("127.0.0.1", port)).await.is_ok() {
                return (upstream, port);
            }
        }
    }

    #[tokio::test]
    async fn an_upstream_that_is_only_at_the_other_address_of_localhost_gets_the_first_datagram_too() {
        let (upstream, port) = only_at_the_other_address().await;
        let words = Mutex::new(Vec::new());
        let tell = |word| words.lock().unwrap().push(word);
        let mut socket = UpstreamSocket::connect("localhost", port, tell).await.unwrap();
        send(&mut socket, b"question").await;
        let mut room = [0; 16];
        let answering = async {
            let (bytes, from) = upstream.recv_from(&mut room).await.unwrap();
            upstream.send_to(&room[..bytes], from).await.unwrap();
        };
        let (answer, ()) = tokio::join!(receive(&mut socket), answering);
        assert_eq!(answer, b"question");
        assert_eq!(*words.lock().unwrap(), [Word::Answer]);
    }

    #[tokio::test]
    async fn a_service_that_comes_later_is_found_by_the_same_socket() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refusals = Mutex::new(0);
        let tell = |word| *refusals.lock().unwrap() += u32::from(word == Word::Refusal);
        let mut socket = UpstreamSocket::connect("127.0.0.1", gone.port(), tell).await.unwrap();
        send(&mut socket, b"lost").await;
        poll_fn(|cx| {
            assert!(socket.poll_recv(cx, &mut Vec::new()).is_pending());
            if *refusals.lock().unwrap() == 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let upstream = UdpSocket::bind(gone).await.unwrap();
        send(&mut socket, b"found").await;
        let mut room = [0; 16];
        let (bytes, from) = upstream.recv_from(&mut room).await.unwrap();
        upstream.send_to(&room[..bytes], from).await.unwrap();
        assert_eq!(receive(&mut socket).await, b"found");
    }

    /// What the upstream hears first, whose first address nobody has, of a question of so many bytes and another one.
    async fn heard_elsewhere(bytes: usize) -> Vec<u8> {
        let (upstream, port) = only_at_the_other_address().await;
        let mut socket = UpstreamSocket::connect("localhost", port, |_| {}).await.unwrap();
        send(&mut socket, &vec![7; bytes]).await;
        poll_fn(|cx| {
            assert!(socket.poll_recv(cx, &mut Vec::new()).is_pending());
            let went_on = socket.others.is_empty() && !socket.owes;
            if went_on { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        send(&mut socket, b"next").await;
        let mut room = vec![0; DATAGRAM_BYTES_MAX];
        let (read, _) = upstream.recv_from(&mut room).await.unwrap();
        room.truncate(read);
        room
    }

    #[tokio::test]
    async fn a_datagram_of_so_many_bytes_is_sent_to_another_address() {
        for bytes in [DATAGRAM_RESENT_BYTES_MAX - 1, DATAGRAM_RESENT_BYTES_MAX] {
            assert_eq!(heard_elsewhere(bytes).await.len(), bytes);
        }
        assert_eq!(heard_elsewhere(DATAGRAM_RESENT_BYTES_MAX + 1).await, b"next");
    }

    #[tokio::test]
    async fn so_many_errors_in_a_row_end_a_flow() {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        let mut socket = UpstreamSocket::connect("127.0.0.1", port, |_| {}).await.unwrap();
        let mut fails = |kind: ErrorKind| socket.failed(kind.into()).is_err();
        for n in 1..FLOW_ERRORS_MAX {
            assert!(!fails(ErrorKind::OutOfMemory), "{n}");
            assert!(!fails(ErrorKind::ConnectionRefused), "refusals do not count");
        }
        assert!(fails(ErrorKind::OutOfMemory));
        assert!(fails(ErrorKind::OutOfMemory));
        socket.answered();
        assert!(socket.failed(ErrorKind::OutOfMemory.into()).is_ok());
    }
}
