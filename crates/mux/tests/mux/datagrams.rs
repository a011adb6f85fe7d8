//! Streams of datagrams: each arrives whole or not at all, and a flow ends when it has been silent for long.

use std::{
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use adit_mux::{Answer, Config, DatagramIo, Flow, FlowEnd, FlowIdle, Stream, StreamError};
use adit_wire::{
    credit::Credit,
    limits::{DATAGRAM_BYTES_MAX, DATAGRAM_CREDIT_BYTES, FRAME_CREDIT_BYTES, INITIAL_CREDIT_BYTES},
    record::{AbortCode, RecordError, RecordHeader, RecordKind, abort},
    stream::{StreamHeader, StreamKind},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    kit::{Dice, Pair, header, pair, tcp_pair, until, within},
    raw::{ACK, CREDIT, DATA, RST, Raw, SYN, data_record, dialled, kind, record},
};

const SIZES: [usize; 9] =
    [0, 1, 512, 1_472, 9_000, 16_368, 16_369, DATAGRAM_BYTES_MAX - 1, DATAGRAM_BYTES_MAX];

const IDLE: FlowIdle = FlowIdle { question: Duration::from_secs(10), conversation: Duration::from_mins(2) };

/// A socket in memory. Its other end keeps what was sent in order.
struct Socket {
    input: mpsc::Receiver<Vec<u8>>,
    output: Output,
    reached: Arc<Mutex<u32>>,
}

type Output = Arc<Mutex<Vec<Vec<u8>>>>;

impl Socket {
    fn new() -> (Self, mpsc::Sender<Vec<u8>>, Output) {
        let (send, input) = mpsc::channel(1_000);
        let output = Output::default();
        (Self { input, output: Arc::clone(&output), reached: Arc::default() }, send, output)
    }
}

impl DatagramIo for Socket {
    fn poll_recv(&mut self, cx: &mut Context<'_>, datagram: &mut Vec<u8>) -> Poll<io::Result<()>> {
        self.input.poll_recv(cx).map(|received| {
            datagram.extend(received.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn poll_send(&mut self, _: &mut Context<'_>, datagram: &[u8]) -> Poll<()> {
        self.output.lock().unwrap().push(datagram.to_vec());
        Poll::Ready(())
    }

    fn reached(&mut self) {
        *self.reached.lock().unwrap() += 1;
    }
}

fn udp() -> StreamHeader {
    StreamHeader { kind: StreamKind::Udp, ..header() }
}

fn datagram(body: &[u8]) -> Vec<u8> {
    record(RecordHeader::datagram(body.len()).unwrap(), body)
}

async fn streams(pair: &mut Pair) -> (Stream, Stream) {
    let header = udp();
    let (opened, arrival) = tokio::join!(pair.session.open(&header), pair.incoming.next());
    let (opened, mut accepted) = (opened.unwrap(), arrival.unwrap().stream);
    accepted.send_answer(Answer::Dialled).await.unwrap();
    (opened, accepted)
}

/// Runs a flow in a task of its own.
fn start(stream: Stream) -> (mpsc::Sender<Vec<u8>>, Output, tokio::task::JoinHandle<FlowEnd>) {
    start_with(stream, IDLE)
}

fn start_with(
    stream: Stream,
    idle: FlowIdle,
) -> (mpsc::Sender<Vec<u8>>, Output, tokio::task::JoinHandle<FlowEnd>) {
    let (socket, send, output) = Socket::new();
    let running = tokio::spawn(async move { Flow::new(stream, socket).run(idle).await });
    (send, output, running)
}

#[tokio::test]
async fn every_datagram_arrives_whole_in_both_directions() {
    let mut pair = tcp_pair().await;
    let (opened, accepted) = streams(&mut pair).await;
    let ((to_agent, from_agent, _visitor), (to_visitor, from_visitor, _agent)) =
        (start(opened), start(accepted));
    let mut dice = Dice::new(1);
    let mut sent: Vec<_> = SIZES.iter().map(|bytes| dice.bytes(*bytes)).collect();
    sent.extend((0..500).map(|_| {
        let bytes = dice.below(3_000);
        dice.bytes(bytes)
    }));
    for datagram in &sent {
        to_agent.send(datagram.clone()).await.unwrap();
        to_visitor.send(datagram.clone()).await.unwrap();
    }
    until(|| [&from_agent, &from_visitor].iter().all(|got| got.lock().unwrap().len() == sent.len())).await;
    assert!(*from_agent.lock().unwrap() == sent && *from_visitor.lock().unwrap() == sent);
}

#[tokio::test]
async fn datagrams_go_out_before_the_answer_within_the_first_credit() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let stream = within(session.open(&udp())).await.unwrap();
    assert_eq!(within(raw.next_of(2)).await.body, udp().encode());
    let (socket, send, output) = Socket::new();
    let reached = Arc::clone(&socket.reached);
    let running = tokio::spawn(async move { Flow::new(stream, socket).run(IDLE).await });
    send.send(b"question".to_vec()).await.unwrap();
    assert_eq!(within(raw.next_of(2)).await.body, datagram(b"question"));
    assert_eq!(*reached.lock().unwrap(), 0);
    raw.data(ACK, 2, &[dialled(), datagram(b"answer")].concat()).await;
    until(|| *output.lock().unwrap() == [b"answer"]).await;
    assert_eq!(*reached.lock().unwrap(), 1);
    running.abort();
}

#[tokio::test]
async fn what_the_agent_says_ends_the_flow() {
    let refused = [RecordHeader::ACCEPTED.encode(), RecordHeader::REFUSED.encode()].concat();
    let timed_out = [RecordHeader::ACCEPTED.encode(), RecordHeader::TIMED_OUT.encode()].concat();
    for (says, end) in [
        (refused, FlowEnd::NotReached(Answer::Refused)),
        (timed_out, FlowEnd::NotReached(Answer::TimedOut)),
        ([dialled(), abort(AbortCode::Idle).to_vec()].concat(), FlowEnd::Aborted(AbortCode::Idle)),
        (dialled(), FlowEnd::Cut),
    ] {
        for is_sending in [false, true] {
            let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
            tokio::spawn(driver.run());
            let stream = within(session.open(&udp())).await.unwrap();
            raw.data(ACK, 2, &says).await;
            raw.data(RST, 2, b"").await;
            raw.settled().await;
            let (send, _output, running) = start(stream);
            if is_sending {
                send.send(b"question".to_vec()).await.unwrap();
            }
            assert_eq!(within(running).await.unwrap(), end);
        }
    }
}

#[tokio::test]
async fn what_came_before_a_reset_is_delivered() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let stream = within(session.open(&udp())).await.unwrap();
    let datagrams: Vec<_> = (0..200_u8).map(|n| vec![n]).collect();
    let records: Vec<u8> = datagrams.iter().flat_map(|body| datagram(body)).collect();
    raw.data(ACK, 2, &[dialled(), records].concat()).await;
    raw.data(RST, 2, b"").await;
    raw.settled().await;
    let (_send, output, running) = start(stream);
    assert_eq!(within(running).await.unwrap(), FlowEnd::Cut);
    assert_eq!(*output.lock().unwrap(), datagrams);
}

/// How a server's flow ends when the agent sends this after its answer, and whether the agent is told.
async fn flow_after(bytes: &[u8]) -> (FlowEnd, bool) {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let stream = within(session.open(&udp())).await.unwrap();
    within(raw.next_of(2)).await;
    raw.data(ACK, 2, &[dialled().as_slice(), bytes].concat()).await;
    let (_send, _output, running) = start(stream);
    let end = within(running).await.unwrap();
    let told = within(raw.next_of(2)).await;
    (end, told.tag == DATA && told.body == abort(AbortCode::Protocol))
}

#[tokio::test]
async fn records_out_of_place_end_the_flow_and_not_the_session() {
    let out_of_place = |kind| FlowEnd::Violation(StreamError::OutOfPlace(kind));
    assert_eq!(flow_after(&data_record(b"x")).await, (out_of_place(RecordKind::Data), true));
    let end = RecordHeader::END.encode();
    assert_eq!(flow_after(&end).await, (out_of_place(RecordKind::End), true));
    for len in [DATAGRAM_BYTES_MAX + 1, usize::from(u16::MAX)] {
        let [low, high] = u16::try_from(len).unwrap().to_le_bytes();
        let error = StreamError::Record(RecordError::Length { kind: 8, len });
        assert_eq!(flow_after(&[8, 0, low, high]).await, (FlowEnd::Violation(error), true));
    }
}

#[tokio::test]
async fn datagrams_have_no_place_among_bytes_nor_bytes_among_datagrams() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut stream = within(session.open(&header())).await.unwrap();
    raw.data(ACK, 2, &[dialled(), datagram(b"x")].concat()).await;
    let error = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::OutOfPlace(RecordKind::Datagram)));

    let mut stream = within(session.open(&udp())).await.unwrap();
    raw.data(ACK, 4, &[dialled(), datagram(b"x")].concat()).await;
    let error = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(StreamError::of(&error), Some(StreamError::OutOfPlace(RecordKind::Datagram)));
    for failed in [stream.write(b"x").await.map(drop), stream.shutdown().await] {
        assert_eq!(StreamError::of(&failed.unwrap_err()), Some(StreamError::NotWritable));
    }
}

/// What a datagram takes from the credit.
fn cost(bytes: usize) -> usize {
    let record = bytes + 4;
    record + record.div_ceil(16_372) * FRAME_CREDIT_BYTES
}

/// Everything that arrives on stream 2 until nothing more comes without credit.
async fn records_of_2(raw: &mut Raw, bytes: usize) -> Vec<u8> {
    let mut records = Vec::new();
    while records.len() < bytes {
        let frame = within(raw.next_of(2)).await;
        assert_eq!(frame.tag, DATA);
        records.extend(frame.body);
    }
    records
}

#[tokio::test]
async fn a_datagram_is_begun_only_with_credit_for_all_of_it() {
    let left = INITIAL_CREDIT_BYTES - udp().encode().len() - FRAME_CREDIT_BYTES;
    // It goes out in four frames.
    let most = left - cost(20_000) - 4 * FRAME_CREDIT_BYTES - 4;
    assert_eq!(cost(20_000) + cost(most), left);
    for (bytes, fits) in [(most - 1, true), (most, true), (most + 1, false)] {
        let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
        tokio::spawn(driver.run());
        let stream = within(session.open(&udp())).await.unwrap();
        within(raw.next_of(2)).await;
        let (send, _output, _running) = start(stream);
        send.send(vec![1; 20_000]).await.unwrap();
        send.send(vec![2; bytes]).await.unwrap();
        let (mut records, mut has_asked) = (Vec::new(), false);
        while records.len() < 20_004 + if fits { bytes + 4 } else { 0 } || has_asked == fits {
            let frame = within(raw.next()).await.unwrap();
            match (frame.id, frame.tag) {
                (2, DATA) => records.extend(frame.body),
                (CREDIT, DATA) => has_asked |= frame.body == Credit { stream: 2, bytes: 0 }.encode(),
                _ => {}
            }
        }
        assert_eq!(records.len(), 20_004 + if fits { bytes + 4 } else { 0 }, "all of it or nothing");
        if !fits {
            raw.credit(2, 1).await;
            let record = records_of_2(&mut raw, bytes + 4).await;
            assert_eq!((kind(&record), record.len()), (RecordKind::Datagram, bytes + 4));
        }
    }
}

#[tokio::test]
async fn whoever_has_read_everything_leaves_credit_for_the_largest() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let stream = within(session.open(&udp())).await.unwrap();
    raw.data(ACK, 2, &dialled()).await;
    let mut credit = INITIAL_CREDIT_BYTES - FRAME_CREDIT_BYTES - dialled().len();
    let (_send, output, _running) = start(stream);
    let mut dice = Dice::new(7);
    for n in 1..300 {
        let body = dice.bytes(if n % 10 == 0 { DATAGRAM_BYTES_MAX } else { n });
        while credit < DATAGRAM_CREDIT_BYTES {
            let frame = within(raw.next_of(CREDIT)).await;
            for entry in frame.body.chunks_exact(8) {
                let given = Credit::decode(entry.try_into().unwrap());
                credit += usize::try_from(given.bytes).unwrap();
            }
        }
        for frame in datagram(&body).chunks(16_372) {
            raw.data(0, 2, frame).await;
            credit -= frame.len() + FRAME_CREDIT_BYTES;
        }
        until(|| output.lock().unwrap().len() == n).await;
        assert!(output.lock().unwrap().last() == Some(&body), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_flow_ends_a_question_soon_and_a_conversation_late() {
    let mut pair = pair();
    let (visitor, agent) = streams(&mut pair).await;
    let (ask, _answers, asking) = start(visitor);
    let (answer, questions, _answering) = start_with(agent, FlowIdle::of(IDLE.conversation));
    let begun = Instant::now();
    sleep(IDLE.question * 9 / 10).await;
    ask.send(b"q".to_vec()).await.unwrap();
    sleep(IDLE.question * 9 / 10).await;
    assert_eq!(questions.lock().unwrap().len(), 1);
    // An answer keeps it, and makes it no conversation yet.
    answer.send(b"a".to_vec()).await.unwrap();
    assert_eq!(asking.await.unwrap(), FlowEnd::Idle);
    let lived = begun.elapsed();
    let expected = IDLE.question * 28 / 10;
    assert!(lived >= expected && lived < expected + Duration::from_secs(1), "{lived:?}");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_may_be_silent_for_longer() {
    let mut pair = pair();
    let (visitor, agent) = streams(&mut pair).await;
    let (ask, answers, asking) = start(visitor);
    let (answer, _questions, answering) = start_with(agent, FlowIdle::of(2 * IDLE.conversation));
    ask.send(b"q".to_vec()).await.unwrap();
    answer.send(b"a".to_vec()).await.unwrap();
    while answers.lock().unwrap().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    ask.send(b"and".to_vec()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(asking.await.unwrap(), FlowEnd::Idle);
    let lived = begun.elapsed();
    assert!(lived >= IDLE.conversation && lived < IDLE.conversation + Duration::from_secs(1), "{lived:?}");
    // It was dropped without a word.
    assert_eq!(answering.await.unwrap(), FlowEnd::Cut);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_in_a_hurry_ends_sooner() {
    let mut pair = pair();
    let (visitor, agent) = streams(&mut pair).await;
    let (socket, _ask, _answers) = Socket::new();
    let mut flow = Flow::new(visitor, socket);
    let _answering = start(agent);
    let usual = tokio::time::timeout(Duration::from_secs(3), flow.run(IDLE)).await;
    assert!(usual.is_err());
    let begun = Instant::now();
    assert_eq!(flow.run(FlowIdle::of(Duration::from_secs(1))).await, FlowEnd::Idle);
    assert_eq!(begun.elapsed(), Duration::ZERO, "it had been silent for longer");
    flow.abort(AbortCode::Idle);
}

#[tokio::test]
async fn an_agent_hears_why_a_flow_ended() {
    let mut pair = tcp_pair().await;
    let (visitor, agent) = streams(&mut pair).await;
    let (socket, _ask, _answers) = Socket::new();
    let (_send, _output, answering) = start(agent);
    Flow::new(visitor, socket).abort(AbortCode::Idle);
    assert_eq!(within(answering).await.unwrap(), FlowEnd::Aborted(AbortCode::Idle));
}

#[tokio::test]
async fn a_server_that_opens_a_flow_gets_the_same_rules() {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let early: Vec<u8> = [&b"one"[..], b"", b"three"].into_iter().flat_map(datagram).collect();
    raw.data(SYN, 2, &udp().encode()).await;
    raw.data(0, 2, &early).await;
    let mut stream = within(incoming.next()).await.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    let (send, output, running) = start(stream);
    until(|| *output.lock().unwrap() == [b"one".to_vec(), Vec::new(), b"three".to_vec()]).await;
    send.send(b"answer".to_vec()).await.unwrap();
    let mut records = Vec::new();
    while records.len() < 18 {
        let frame = within(raw.next_of(2)).await;
        records.extend(frame.body);
    }
    assert_eq!(records, [dialled(), datagram(b"answer")].concat());
    raw.data(0, 2, &data_record(b"x")).await;
    let end = FlowEnd::Violation(StreamError::OutOfPlace(RecordKind::Data));
    assert_eq!(within(running).await.unwrap(), end);
}
