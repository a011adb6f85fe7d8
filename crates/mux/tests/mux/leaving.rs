//! A session that is closed in order: what was written before the word is delivered.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use adit_mux::{CloseReason, Config, Incoming, Session, Stream, limits::LINGER};
use adit_wire::stream::STREAM_HEADER_LEN;
use futures::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, duplex},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    kit::{Pair, header, tcp, until, within},
    raw::{DATA, PING, SYN},
};

/// An io that does as it is told once.
#[derive(Clone, Default)]
struct Orders(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// So many writes find no room, and the one after them does.
    hesitations: usize,
    /// What another thread does while the connection is flushed.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// Our direction was ended.
    has_ended: bool,
}

struct Obedient<I> {
    io: I,
    orders: Orders,
}

impl<I: AsyncRead + Unpin> AsyncRead for Obedient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Obedient<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let hesitations @ 1.. = &mut self.orders.0.lock().unwrap().hesitations {
            *hesitations -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let meanwhile = self.orders.0.lock().unwrap().meanwhile.take();
        if let Some(act) = meanwhile {
            act();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.orders.0.lock().unwrap().has_ended = true;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A session with one stream, whose agent has said all that it will.
struct Scene {
    session: Session,
    orders: Orders,
    ours: Stream,
    theirs: Stream,
    driver: JoinHandle<CloseReason>,
    _incoming: Incoming,
}

impl Scene {
    async fn set() -> Self {
        let (server, agent) = duplex(1 << 20);
        let orders = Orders::default();
        let server = Obedient { io: server, orders: orders.clone() };
        let (session, server_control, driver) = adit_mux::serve(server, &Config::default());
        let (incoming, agent_control, agent_driver) = adit_mux::connect(agent, &Config::default());
        let driver = tokio::spawn(driver.run());
        tokio::spawn(agent_driver.run());
        let mut pair = Pair { session, server_control, incoming, agent_control };
        let (mut ours, mut theirs) = within(pair.stream()).await;
        theirs.shutdown().await.unwrap();
        within(ours.read_to_end(&mut Vec::new())).await.unwrap();
        let Pair { session, incoming, .. } = pair;
        Self { session, orders, ours, theirs, driver, _incoming: incoming }
    }
}

#[tokio::test]
async fn what_is_written_during_the_last_round_is_delivered() {
    let Scene { session, orders, mut ours, mut theirs, driver, .. } = Scene::set().await;
    ours.write_all(b"first ").await.unwrap();
    orders.0.lock().unwrap().meanwhile = Some(Box::new(move || {
        ours.write_all(b"and last").now_or_never().unwrap().unwrap();
        ours.shutdown().now_or_never().unwrap().unwrap();
        drop(ours);
        session.close("done");
    }));
    let mut read = String::new();
    within(theirs.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "first and last");
    assert_eq!(within(driver).await.unwrap(), CloseReason::Asked("done"));
}

#[tokio::test]
async fn what_found_no_room_before_the_last_flush_is_delivered() {
    // One buffer of the connection, and what credit there is behind it.
    const BYTES: usize = 70_000;
    const { assert!(BYTES > adit_mux::limits::COALESCED_BYTES_MAX) }
    // How often yamux tries is its own affair.
    for hesitations in 1..6 {
        let Scene { session, orders, mut ours, mut theirs, driver, .. } = Scene::set().await;
        orders.0.lock().unwrap().hesitations = hesitations;
        ours.write_all(&vec![7; BYTES]).now_or_never().unwrap().unwrap();
        ours.shutdown().now_or_never().unwrap().unwrap();
        drop(ours);
        session.close("done");
        let mut read = Vec::new();
        within(theirs.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, vec![7; BYTES]);
        assert_eq!(within(driver).await.unwrap(), CloseReason::Asked("done"));
    }
}

/// A peer that still sends is answered with a reset by a socket that is closed, and loses what it has not read.
#[tokio::test]
async fn what_was_sent_last_survives_what_the_peer_still_sends() {
    let (server, mut peer) = tcp().await;
    let orders = Orders::default();
    let server = Obedient { io: server, orders: orders.clone() };
    let patient = Config { linger: Duration::from_secs(30), ..Config::default() };
    let (session, control, driver) = adit_mux::serve(server, &patient);
    peer.write_all(&[0, DATA, 0, SYN, 0, 0, 0, 1, 0, 0, 0, 0]).await.unwrap();
    peer.write_all(&[0, DATA, 0, SYN, 0, 0, 0, 3, 0, 0, 0, 0]).await.unwrap();
    let driver = tokio::spawn(driver.run());
    let stream = within(session.open(&header())).await.unwrap();
    session.close("done");
    until(|| orders.0.lock().unwrap().has_ended).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        peer.write_all(&[0, PING, 0, SYN, 0, 0, 0, 0, 0, 0, 0, 7]).await.unwrap();
    }
    let mut read = Vec::new();
    within(peer.read_to_end(&mut read)).await.unwrap();
    assert!(read.windows(STREAM_HEADER_LEN).any(|bytes| bytes == header().encode()));
    assert!(!driver.is_finished(), "the peer has not ended");
    peer.shutdown().await.unwrap();
    assert_eq!(within(driver).await.unwrap(), CloseReason::Asked("done"));
    drop((stream, control));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_ends_is_not_waited_for() {
    let (server, mut peer) = duplex(1 << 10);
    let (session, _control, driver) = adit_mux::serve(server, &Config::default());
    let driver = tokio::spawn(driver.run());
    let start = Instant::now();
    session.close("done");
    // It sends all the time, a byte that is none of a frame's.
    let sending = tokio::spawn(async move {
        while peer.write_all(&[9]).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(driver.await.unwrap(), CloseReason::Asked("done"));
    assert!(start.elapsed() >= LINGER && start.elapsed() < 2 * LINGER, "{:?}", start.elapsed());
    sending.await.unwrap();
}
