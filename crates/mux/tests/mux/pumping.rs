//! The pump between a stream and a socket.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use adit_mux::{Answer, Incoming, PumpEnd, PumpLimits, Session, Stream, StreamError, Traffic, pump};
use adit_wire::record::AbortCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
    time::Instant,
};

use crate::kit::{Dice, Pair, pair, tcp, until, within};

/// A stream whose agent's end is pumped to `upstream`.
struct Case {
    stream: Stream,
    pump: JoinHandle<PumpEnd>,
    traffic: Arc<Traffic>,
    session: Session,
    _incoming: Incoming,
}

async fn pumped<I>(upstream: I) -> Case
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pumped_within(upstream, PumpLimits::of_agent()).await
}

async fn pumped_within<I>(mut upstream: I, limits: PumpLimits) -> Case
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut pair: Pair = pair();
    let (stream, theirs) = within(pair.stream()).await;
    let traffic = Arc::new(Traffic::default());
    let counted = Arc::clone(&traffic);
    let pump = tokio::spawn(async move { pump(theirs, &mut upstream, limits, &counted).await });
    Case { stream, pump, traffic, session: pair.session, _incoming: pair.incoming }
}

fn error_of<T>(result: io::Result<T>) -> Option<StreamError> {
    result.err().and_then(|error| StreamError::of(&error))
}

/// An upstream in memory, whose pipe holds this much.
async fn with_pipe(bytes: usize) -> (Case, DuplexStream) {
    let (upstream, service) = duplex(bytes);
    (pumped(upstream).await, service)
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_and_are_counted() {
    let (upstream, service) = tcp().await;
    let mut case = pumped(upstream).await;
    let (mut reader, mut writer) = service.into_split();
    let echo = tokio::spawn(async move {
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    });
    let bytes = Dice::new(5).bytes(3_000_000);
    let (mut reader, mut writer) = tokio::io::split(&mut case.stream);
    let mut read = Vec::new();
    within(async {
        tokio::join!(
            async {
                writer.write_all(&bytes).await.unwrap();
                writer.shutdown().await.unwrap();
            },
            async { reader.read_to_end(&mut read).await.unwrap() },
        )
    })
    .await;
    assert!(read == bytes);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Complete);
    assert_eq!((case.traffic.to_io_bytes(), case.traffic.to_stream_bytes()), (3_000_000, 3_000_000));
    within(echo).await.unwrap();
}

#[tokio::test]
async fn an_end_of_either_side_leaves_the_other_direction_open() {
    let (mut case, mut service) = with_pipe(1024).await;
    service.write_all(b"greeting").await.unwrap();
    service.shutdown().await.unwrap();
    let mut read = String::new();
    within(case.stream.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "greeting");
    case.stream.write_all(b"still heard").await.unwrap();
    case.stream.shutdown().await.unwrap();
    let mut heard = String::new();
    within(service.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "still heard");
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Complete);

    let (mut case, mut service) = with_pipe(1024).await;
    case.stream.write_all(b"question").await.unwrap();
    case.stream.shutdown().await.unwrap();
    let mut heard = String::new();
    within(service.read_to_string(&mut heard)).await.unwrap();
    service.write_all(b"answer").await.unwrap();
    drop(service);
    let mut read = String::new();
    within(case.stream.read_to_string(&mut read)).await.unwrap();
    assert_eq!((heard.as_str(), read.as_str()), ("question", "answer"));
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Complete);
}

#[tokio::test]
async fn a_cut_and_an_abort_are_told_to_who_owns_the_socket() {
    let (mut case, mut service) = with_pipe(1024).await;
    case.stream.write_all(b"half").await.unwrap();
    drop(case.stream);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Cut);
    let mut heard = Vec::new();
    service.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"half", "the caller resets the socket; the pump leaves it as it is");

    let (case, _service) = with_pipe(1024).await;
    case.stream.abort(AbortCode::VisitorGone);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Aborted(AbortCode::VisitorGone));
}

#[tokio::test]
async fn a_socket_with_a_buffer_is_flushed_when_nothing_more_comes() {
    let (upstream, mut service) = duplex(1024);
    let mut case = pumped(tokio::io::BufStream::new(upstream)).await;
    for question in [b"one", b"two"] {
        case.stream.write_all(question).await.unwrap();
        case.stream.flush().await.unwrap();
        let mut heard = [0; 3];
        within(service.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, question);
    }
}

#[tokio::test]
async fn a_cut_is_seen_while_the_socket_takes_nothing() {
    let (mut case, _service) = with_pipe(16).await;
    case.stream.write_all(&vec![1; 60_000]).await.unwrap();
    case.stream.flush().await.unwrap();
    until(|| case.traffic.to_io_bytes() == 16).await;
    drop(case.stream);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Cut);
}

#[tokio::test]
async fn a_cut_is_seen_after_the_end() {
    let (mut case, mut service) = with_pipe(1024).await;
    case.stream.write_all(b"question").await.unwrap();
    case.stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    within(service.read_to_end(&mut heard)).await.unwrap();
    drop(case.stream);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Unread, "nobody waits for the answer");
}

#[tokio::test]
async fn what_was_complete_is_delivered_though_the_peer_has_gone() {
    let (mut case, mut service) = with_pipe(16).await;
    service.shutdown().await.unwrap();
    let mut read = Vec::new();
    within(case.stream.read_to_end(&mut read)).await.unwrap();
    case.stream.write_all(&vec![9; 60_000]).await.unwrap();
    case.stream.shutdown().await.unwrap();
    drop(case.stream);
    let mut heard = Vec::new();
    within(service.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, vec![9; 60_000]);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Complete);
}

#[tokio::test]
async fn a_server_delivers_an_answer_whose_upstream_stopped_reading() {
    let (visitor, mut browser) = duplex(16);
    let mut case = pumped_within(visitor, PumpLimits::of_server()).await;
    case.stream.write_all(&vec![9; 60_000]).await.unwrap();
    case.stream.shutdown().await.unwrap();
    drop(case.stream);
    let mut heard = Vec::new();
    within(browser.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, vec![9; 60_000]);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Unread);

    let (visitor, mut browser) = duplex(16);
    let mut case = pumped_within(visitor, PumpLimits::of_server()).await;
    case.stream.write_all(&vec![9; 60_000]).await.unwrap();
    case.stream.flush().await.unwrap();
    drop(case.stream);
    let mut heard = Vec::new();
    within(browser.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, vec![9; 60_000]);
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Cut, "no end was sent");
}

/// An upstream that fails as told once its bytes are read, or at the first write.
struct Broken {
    bytes: Vec<u8>,
    read: Option<io::ErrorKind>,
    write: Option<io::ErrorKind>,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.bytes.is_empty() {
            let taken = self.bytes.len().min(buf.remaining());
            buf.put_slice(&self.bytes.drain(..taken).collect::<Vec<_>>());
            return Poll::Ready(Ok(()));
        }
        self.read.map_or(Poll::Pending, |kind| Poll::Ready(Err(kind.into())))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write.map_or(Ok(buf.len()), |kind| Err(kind.into())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_broken_upstream_is_never_a_short_success() {
    let reset = io::ErrorKind::ConnectionReset;
    let mut case = pumped(Broken { bytes: vec![7; 50_000], read: Some(reset), write: None }).await;
    let mut read = Vec::new();
    let end = within(case.stream.read_to_end(&mut read)).await;
    assert_eq!(read.len(), 50_000);
    assert_eq!(error_of(end), Some(StreamError::Aborted(AbortCode::UpstreamBroken)));
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Broken(reset));
}

/// Answers and closes its reading half before it has read anything.
struct Early(DuplexStream);
impl AsyncRead for Early {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}
impl AsyncWrite for Early {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_early_answer_is_delivered_though_the_upstream_reads_no_more() {
    let pipe = io::ErrorKind::BrokenPipe;
    let mut case = pumped(Broken { bytes: vec![], read: None, write: Some(pipe) }).await;
    case.stream.write_all(&[1; 1000]).await.unwrap();
    case.stream.flush().await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!case.pump.is_finished());

    let (upstream, mut service) = duplex(1024);
    let mut case = pumped(Early(upstream)).await;
    case.stream.write_all(&[1; 1000]).await.unwrap();
    case.stream.flush().await.unwrap();
    service.write_all(b"413").await.unwrap();
    drop(service);
    let mut read = String::new();
    within(case.stream.read_to_string(&mut read)).await.unwrap();
    assert_eq!(read, "413");
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Broken(pipe));
}

#[tokio::test(start_paused = true)]
async fn the_remaining_direction_has_an_idle_time_that_bytes_renew() {
    for service_ends in [true, false] {
        let mut pair = pair();
        let (mut ours, theirs) = pair.stream().await;
        let (mut upstream, mut service) = duplex(1024);
        let limits = PumpLimits { half_closed_idle: Duration::from_secs(3), ..PumpLimits::of_agent() };
        let pump =
            tokio::spawn(async move { pump(theirs, &mut upstream, limits, &Traffic::default()).await });

        // Silence without a half-close is no reason to end anything.
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(!pump.is_finished());

        if service_ends {
            service.shutdown().await.unwrap();
        } else {
            ours.shutdown().await.unwrap();
        }
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if service_ends {
                ours.write_all(b"x").await.unwrap();
                ours.flush().await.unwrap();
                assert_eq!(service.read_u8().await.unwrap(), b'x');
            } else {
                service.write_all(b"x").await.unwrap();
                assert_eq!(ours.read_u8().await.unwrap(), b'x');
            }
        }
        let start = Instant::now();
        assert_eq!(pump.await.unwrap(), PumpEnd::Idle);
        assert_eq!(start.elapsed().as_secs(), 3);
        let mut read = Vec::new();
        let end = error_of(ours.read_to_end(&mut read).await);
        // What the service ended is whole; what it left open was given up.
        assert_eq!(end, (!service_ends).then_some(StreamError::Aborted(AbortCode::Idle)));
    }
}

#[tokio::test]
async fn the_loss_of_the_connection_is_a_cut() {
    let (case, _service) = with_pipe(1024).await;
    case.session.close("lost");
    assert_eq!(within(case.pump).await.unwrap(), PumpEnd::Cut);
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_told_apart() {
    use crate::raw::{Raw, SYN};
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&adit_mux::Config::default());
    tokio::spawn(driver.run());
    raw.data(SYN, 2, &crate::kit::header().encode()).await;
    let mut stream = within(incoming.next()).await.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    raw.data(0, 2, &[77, 0, 0, 0]).await;
    let (mut upstream, _service) = duplex(1024);
    let end = within(pump(stream, &mut upstream, PumpLimits::of_agent(), &Traffic::default())).await;
    assert!(matches!(end, PumpEnd::Violation(StreamError::Record(_))), "{end:?}");
}
