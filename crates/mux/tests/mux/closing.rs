//! Y4: when a session ends, whoever waits on it is woken, however it ends.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use adit_mux::{
    Answer, CloseReason, Config, Control, Incoming, OpenError, SendError, Session, Stream, StreamError,
};
use adit_wire::control::{DrainReason, Frame, GoodbyeReason};
use futures::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex},
    task::{AbortHandle, JoinHandle},
};

use crate::{
    kit::{header, poll_now, within},
    raw::Raw,
};

/// An io whose next poll can be made to panic or to fail.
struct Faulty {
    io: DuplexStream,
    fault: Arc<Fault>,
}

#[derive(Default)]
struct Fault {
    panics: AtomicBool,
    fails: AtomicBool,
    waker: AtomicWaker,
}

impl Fault {
    fn set(&self, fault: &AtomicBool) {
        fault.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn has_failed(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        assert!(!self.panics.load(Ordering::Acquire), "as asked");
        self.fails.load(Ordering::Acquire)
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.fault.has_failed(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A session on which everything waits that can.
struct Scene {
    session: Session,
    fault: Arc<Fault>,
    server: AbortHandle,
    agent: AbortHandle,
    parked: Parked,
}

struct Parked {
    reader: JoinHandle<Option<StreamError>>,
    writer: JoinHandle<Option<StreamError>>,
    answer: JoinHandle<Result<Answer, StreamError>>,
    server_control: JoinHandle<CloseReason>,
    agent_control: JoinHandle<CloseReason>,
    incoming: JoinHandle<bool>,
    _theirs: Vec<Stream>,
}

async fn error_of<T>(result: impl Future<Output = io::Result<T>>) -> Option<StreamError> {
    result.await.err().and_then(|error| StreamError::of(&error))
}

async fn last_frame(mut control: Control) -> CloseReason {
    loop {
        if let Err(reason) = control.recv().await {
            return reason;
        }
    }
}

impl Scene {
    async fn set() -> Self {
        let (server, agent) = duplex(64 << 10);
        let fault = Arc::new(Fault::default());
        let server = Faulty { io: server, fault: Arc::clone(&fault) };
        let (session, server_control, server_driver) = adit_mux::serve(server, &Config::default());
        let (incoming, agent_control, agent_driver) = adit_mux::connect(agent, &Config::default());
        let server = tokio::spawn(server_driver.run()).abort_handle();
        let agent = tokio::spawn(agent_driver.run()).abort_handle();
        let parked = Self::park(&session, incoming, server_control, agent_control).await;
        Self { session, fault, server, agent, parked }
    }

    async fn park(session: &Session, mut incoming: Incoming, server: Control, agent: Control) -> Parked {
        let mut streams = Vec::new();
        let mut theirs = Vec::new();
        for answer in [Some(Answer::Dialled), Some(Answer::Dialled), None] {
            let mut stream = within(session.open(&header())).await.unwrap();
            let mut arrival = within(incoming.next()).await.unwrap().stream;
            if let Some(answer) = answer {
                arrival.send_answer(answer).await.unwrap();
                assert_eq!(within(stream.answer()).await, Ok(answer));
            }
            streams.push(stream);
            theirs.push(arrival);
        }
        let (mut answer, mut writer, mut reader) =
            (streams.pop().unwrap(), streams.pop().unwrap(), streams.pop().unwrap());
        // Fill the window until writing stops.
        let fill = vec![0; 64 << 10];
        while let Poll::Ready(written) = poll_once(&mut writer, &fill).await {
            written.unwrap();
        }
        let parked = Parked {
            reader: tokio::spawn(async move { error_of(reader.read_u8()).await }),
            writer: tokio::spawn(async move { error_of(writer.write_all(&fill)).await }),
            answer: tokio::spawn(async move { answer.answer().await }),
            server_control: tokio::spawn(last_frame(server)),
            agent_control: tokio::spawn(last_frame(agent)),
            incoming: tokio::spawn(async move { incoming.next().await.is_none() }),
            _theirs: theirs,
        };
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        parked
    }

    async fn ends(self, server: CloseReason, agent: CloseReason) {
        let parked = self.parked;
        assert_eq!(within(parked.reader).await.unwrap(), Some(StreamError::Cut));
        assert_eq!(within(parked.writer).await.unwrap(), Some(StreamError::Cut));
        assert_eq!(within(parked.answer).await.unwrap(), Err(StreamError::Cut));
        assert_eq!(within(parked.server_control).await.unwrap(), server);
        assert_eq!(within(self.session.closed().wait()).await, server);
        assert_eq!(within(self.session.closed().wait()).await, server, "said again");
        assert_eq!(within(parked.agent_control).await.unwrap(), agent);
        assert!(within(parked.incoming).await.unwrap());
        assert_eq!(self.session.open(&header()).await.unwrap_err(), OpenError::Closed);
        assert!(self.session.is_closed());
        assert_eq!(self.session.open_streams(), 0);
    }
}

/// One write, once the stream takes no more: everybody else goes first.
async fn poll_once(stream: &mut Stream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes))).await
}

#[tokio::test]
async fn closed_by_this_side() {
    let scene = Scene::set().await;
    scene.session.close("revoked");
    scene.session.close("another word");
    scene.ends(CloseReason::Asked("revoked"), CloseReason::PeerLeft).await;
}

#[tokio::test]
async fn the_task_of_the_driver_is_stopped() {
    let scene = Scene::set().await;
    scene.server.abort();
    scene.ends(CloseReason::Dropped, CloseReason::PeerLeft).await;
}

#[tokio::test]
async fn the_peer_goes() {
    let scene = Scene::set().await;
    scene.agent.abort();
    scene.ends(CloseReason::PeerLeft, CloseReason::Dropped).await;
}

#[tokio::test]
async fn the_connection_fails() {
    let scene = Scene::set().await;
    scene.fault.set(&scene.fault.fails);
    scene.ends(CloseReason::Io(io::ErrorKind::TimedOut), CloseReason::PeerLeft).await;
}

#[tokio::test]
async fn the_driver_panics() {
    let scene = Scene::set().await;
    scene.fault.set(&scene.fault.panics);
    scene.ends(CloseReason::Dropped, CloseReason::PeerLeft).await;
}

#[tokio::test]
async fn a_caller_who_waits_for_a_stream_is_woken() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut unanswered = Vec::new();
    for _ in 0..256 {
        unanswered.push(within(session.open(&header())).await.unwrap());
    }
    let header = header();
    let mut waiting = Box::pin(session.open(&header));
    assert!(poll_now(&mut waiting).await.is_pending());
    raw.io.shutdown().await.unwrap();
    assert_eq!(within(waiting).await.unwrap_err(), OpenError::Closed);
}

#[tokio::test]
async fn a_driver_that_never_ran_ends_its_session() {
    let (io, _peer) = duplex(1024);
    let (session, control, driver) = adit_mux::serve(io, &Config::default());
    drop(driver);
    assert_eq!(within(session.closed().wait()).await, CloseReason::Dropped);
    assert_eq!(session.open(&header()).await.unwrap_err(), OpenError::Closed);
    let sent = control.send(&Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }).await;
    assert_eq!(sent, Err(SendError::Closed(CloseReason::Dropped)));
}

#[tokio::test]
async fn what_was_received_before_the_end_is_still_read() {
    let (server, agent) = duplex(64 << 10);
    let mut pair = crate::kit::pair_over(server, agent, &Config::default());
    let (mut ours, mut theirs) = within(pair.stream()).await;
    theirs.write_all(b"complete").await.unwrap();
    theirs.shutdown().await.unwrap();
    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
    pair.agent_control.send(&goodbye).await.unwrap();
    pair.incoming.close("done");
    assert_eq!(within(pair.session.closed().wait()).await, CloseReason::PeerLeft);
    let mut read = String::new();
    within(ours.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "complete");
    assert_eq!(within(pair.server_control.recv()).await, Ok(goodbye));
    assert_eq!(within(pair.server_control.recv()).await, Err(CloseReason::PeerLeft));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_bytes_does_not_delay_the_end_for_ever() {
    let (server, mut peer) = duplex(64);
    let (session, control, driver) = adit_mux::serve(server, &Config::default());
    // A control stream, so that there is something to send; the peer reads nothing of it.
    let ping = [&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 12][..], &[8, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    peer.write_all(&ping).await.unwrap();
    let driver = tokio::spawn(driver.run());
    for _ in 0..10 {
        control.send(&Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }).await.unwrap();
    }
    session.close("stuck");
    assert_eq!(driver.await.unwrap(), CloseReason::Asked("stuck"));
}
