//! Connections that a stranger feeds: whatever comes, they end, and nothing is invented.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_domain::Epoch;
use adit_domain::id::{EndpointId, RequestId};
use adit_mux::{Answer, Config, DatagramIo, Driver, Flow, FlowIdle, Session, Stream};
use adit_net::hello::{self, ClientHello};
use adit_net::limits::PROXY_HEADER_BYTES_MAX;
use adit_net::proxy_protocol::{self, Progress};
use adit_wire::limits::DATAGRAM_BYTES_MAX;
use adit_wire::stream::{STREAM_HEADER_VERSION, StreamHeader, StreamKind};
use futures::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};

/// Bytes on their way between both ends.
const PIPE_BYTES: usize = 64 * 1024;

/// Above every deadline of ours. Time is simulated: it passes at once when nothing else happens.
const PATIENCE: Duration = Duration::from_secs(3600);

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

/// Runs one connection to its end.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    RUNTIME
        .with(|runtime| runtime.block_on(async { timeout(PATIENCE, future).await.expect("an end in time") }))
}

/// The two ends of a connection.
pub(crate) fn pipe() -> (DuplexStream, DuplexStream) {
    duplex(PIPE_BYTES)
}

/// A stranger writes `data` in pieces of its first byte's size, closes, and reads until the other side closes.
pub(crate) async fn stranger(stream: DuplexStream, data: &[u8]) -> Vec<u8> {
    let (size, data) = data.split_first().map_or((1, data), |(size, data)| (usize::from(*size).max(1), data));
    let (mut read, mut write) = tokio::io::split(stream);
    let speaking = async move {
        for piece in data.chunks(size) {
            if write.write_all(piece).await.is_err() {
                return;
            }
        }
        drop(write.shutdown().await);
    };
    let hearing = async move {
        let mut heard = Vec::new();
        drop(read.read_to_end(&mut heard).await);
        heard
    };
    tokio::join!(speaking, hearing).1
}

/// A `ClientHello` is understood the same however it is cut, and not a byte of it is lost or added.
pub fn hello(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let whole = run(peeked(data));
    let (piecemeal, stranger) = pipe();
    let fed = std::iter::once(*size).chain(data.iter().copied()).collect::<Vec<_>>();
    let cut = run(async move {
        let peek = async {
            let answer = peeked(piecemeal).await;
            answer
        };
        tokio::join!(peek, self::stranger(stranger, &fed)).0
    });
    match (whole, cut) {
        (Ok((whole, bytes)), Ok((cut, again))) => {
            assert_eq!(whole, cut);
            assert!(
                bytes == data && again == data,
                "the connection does not begin with its first byte again"
            );
        }
        (Err(_), Err(_)) => {}
        (whole, cut) => panic!("cut otherwise, understood otherwise: {whole:?} and {cut:?}"),
    }
}

async fn peeked(stream: impl AsyncRead + Unpin) -> Result<(ClientHello, Vec<u8>), String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let (hello, mut replay) = hello::peek(stream, deadline).await.map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    replay.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    Ok((hello, bytes))
}

/// A header of the PROXY protocol is found without a byte of what follows it: whatever the decoder asks for belongs to it,
/// it asks for something until it is done, and never for more than a header may have.
pub fn proxy(data: &[u8]) {
    let mut taken = 0;
    let header = loop {
        match proxy_protocol::decode(&data[..taken]) {
            Ok(Progress::Whole(_)) => break Some(taken),
            Ok(Progress::Needs(more)) => {
                taken += more;
                assert!(more > 0 && taken <= PROXY_HEADER_BYTES_MAX, "{more} more, {taken} in all");
                if taken > data.len() {
                    break None;
                }
            }
            Err(_) => break None,
        }
    };
    let mut stream = data;
    let read = run(proxy_protocol::read(&mut stream));
    assert_eq!(read.is_ok(), header.is_some());
    if let Some(length) = header {
        assert!(stream == &data[length..], "what follows the header was touched");
        for at in 0..length {
            assert!(
                matches!(proxy_protocol::decode(&data[..at]), Ok(Progress::Needs(more)) if at + more <= length),
                "a part of a header is not seen as one"
            );
        }
    }
}

/// The same with a peer who knows what a frame is: whatever the kinds, flags, streams and lengths, the session ends. The
/// input is a list of frames: kind, flags and how far the length is shifted, stream, length, and the body of *data*.
pub fn mux_frames(data: &[u8]) {
    let [side, size, rest @ ..] = data else { return };
    let (mut rest, mut bytes) = (rest, vec![*side, *size]);
    while let [kind, flags, stream, length, body @ ..] = rest {
        let kind = kind % 4;
        let taken = if kind == 0 { body.len().min(usize::from(*length)) } else { 0 };
        let length = if kind == 0 { taken } else { usize::from(*length) << (flags >> 4) };
        bytes.extend([0, kind, 0, flags & 0x0f]);
        bytes.extend(u32::from(*stream).to_be_bytes());
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(&body[..taken]);
        rest = &body[taken..];
    }
    mux(&bytes);
}

/// What a node asks every agent for. yamux gives these streams the ids 2, 4 and 6.
const ASKED: [StreamKind; 3] = [StreamKind::Tcp, StreamKind::Udp, StreamKind::Http];

/// A session with a peer that writes anything ends, on either side, and hands out only whole frames. An agent is asked for
/// streams before it writes.
pub fn mux(data: &[u8]) {
    let Some((side, data)) = data.split_first() else { return };
    let config = Config::default();
    let (ours, theirs) = pipe();
    run(async {
        if side % 2 == 0 {
            let (session, mut control, driver) = adit_mux::serve(ours, &config);
            let mut driver = pin!(Driver::run(driver));
            let streams = tokio::select! {
                streams = asked(&session) => streams,
                _ = &mut driver => panic!("a session ends before its peer says a word"),
            };
            let hearing = async { while control.recv().await.is_ok() {} };
            let answered =
                join_all(streams.into_iter().map(|(kind, stream)| answered(kind, stream, data.len())));
            tokio::join!(driver, hearing, answered, stranger(theirs, data));
        } else {
            let (mut incoming, _control, driver) = adit_mux::connect(ours, &config);
            let taking = async {
                while let Some(mut arrival) = incoming.next().await {
                    if arrival.header.kind == StreamKind::Udp {
                        let _ = arrival.stream.send_answer(Answer::Dialled).await;
                        Flow::new(arrival.stream, Silent).run(FlowIdle::of(PATIENCE / 60)).await;
                    } else {
                        let mut bytes = Vec::new();
                        drop(arrival.stream.read_to_end(&mut bytes).await);
                    }
                }
            };
            tokio::join!(driver.run(), taking, stranger(theirs, data));
        }
    });
}

async fn asked(session: &Session) -> Vec<(StreamKind, Stream)> {
    let mut streams = Vec::new();
    for kind in ASKED {
        let header = StreamHeader {
            version: STREAM_HEADER_VERSION,
            kind,
            flags: 0,
            endpoint: EndpointId::from_bytes([1; 16]),
            epoch: Epoch(7),
            request: RequestId::from_bytes([2; 16]),
            visitor: ([192, 0, 2, 1], 4321).into(),
        };
        streams.push((kind, session.open(&header).await.expect("there is room")));
    }
    streams
}

/// Takes what the agent says on a stream: an answer first, and no more bytes than it has sent.
async fn answered(kind: StreamKind, mut stream: Stream, sent: usize) {
    if kind == StreamKind::Udp {
        Flow::new(stream, Silent).run(FlowIdle::of(PATIENCE / 60)).await;
        return;
    }
    drop(stream.write_all(b"early").await);
    let answer = stream.answer().await;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    assert!(bytes.len() <= sent, "{} bytes of {sent}", bytes.len());
    let is_dialled = answer == Ok(Answer::Dialled);
    assert!(is_dialled || (bytes.is_empty() && read.is_err()), "{read:?} after {answer:?}");
    drop(stream.shutdown().await);
}

/// An upstream that never answers a datagram.
struct Silent;

impl DatagramIo for Silent {
    fn poll_recv(&mut self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_send(&mut self, _: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
        Poll::Ready(())
    }
}
