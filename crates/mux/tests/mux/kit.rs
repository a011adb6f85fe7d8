//! What several tests need.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use adit_domain::{
    Epoch,
    id::{EndpointId, RequestId},
};
use adit_mux::{Answer, Config, Control, Incoming, Session, Stream, connect, serve};
use adit_wire::stream::{STREAM_HEADER_VERSION, StreamHeader, StreamKind};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Both ends of one session, with their drivers spawned.
pub struct Pair {
    pub session: Session,
    pub server_control: Control,
    pub incoming: Incoming,
    pub agent_control: Control,
}

pub fn header() -> StreamHeader {
    StreamHeader {
        version: STREAM_HEADER_VERSION,
        kind: StreamKind::Http,
        flags: 0,
        endpoint: EndpointId::from_bytes([1; 16]),
        epoch: Epoch(7),
        request: RequestId::from_bytes([2; 16]),
        visitor: ([192, 0, 2, 1], 4321).into(),
    }
}

pub fn pair_over<T>(server: T, agent: T, config: &Config) -> Pair
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (session, server_control, server_driver) = serve(server, config);
    let (incoming, agent_control, agent_driver) = connect(agent, config);
    tokio::spawn(server_driver.run());
    tokio::spawn(agent_driver.run());
    Pair { session, server_control, incoming, agent_control }
}

pub fn pair() -> Pair {
    let (server, agent) = duplex(64 << 10);
    pair_over(server, agent, &Config::default())
}

pub async fn tcp_pair() -> Pair {
    let (server, agent) = tcp().await;
    pair_over(server, agent, &Config::default())
}

pub async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    accepted.set_nodelay(true).unwrap();
    dialled.set_nodelay(true).unwrap();
    (accepted, dialled)
}

impl Pair {
    /// A stream with both its ends, dialled.
    pub async fn stream(&mut self) -> (Stream, Stream) {
        let header = header();
        let (opened, arrival) = tokio::join!(self.session.open(&header), self.incoming.next());
        let (mut opened, mut accepted) = (opened.unwrap(), arrival.unwrap().stream);
        accepted.send_answer(Answer::Dialled).await.unwrap();
        assert_eq!(opened.answer().await, Ok(Answer::Dialled));
        (opened, accepted)
    }
}

/// Waits until something holds, letting every other task go on.
pub async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Fails instead of hanging. Tests with a paused clock do not use it.
pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(30), future).await.expect("nothing happened")
}

/// Bytes and sizes that look random and are the same every time.
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end).unwrap()).unwrap()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.roll().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Polls once.
pub async fn poll_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}
