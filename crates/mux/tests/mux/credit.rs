//! How much a stream may send before it is read: a bounded number, on both sides and in both directions.

use std::time::Duration;

use adit_mux::{Answer, Budget, CloseReason, Config, OpenError, Stream, StreamError, limits};
use adit_wire::{
    control::{DrainReason, Frame},
    credit::Credit,
    limits::{FRAME_CREDIT_BYTES, INITIAL_CREDIT_BYTES},
    record::AbortCode,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split},
    time::sleep,
};

use crate::{
    kit::{Dice, Pair, header, pair_over, poll_now, until, within},
    raw::{ACK, CONTROL, CREDIT, DATA, PING, Raw, RawFrame, SYN, data_record, dialled},
};

const OVERRUN: CloseReason = CloseReason::Violation("more than the credit of a stream");

/// Everything that a stream takes at once, as frames that cost exactly so much.
fn frames_that_cost(credit: usize) -> Vec<Vec<u8>> {
    let first = limits::FRAME_BODY_BYTES_TAKEN_MAX / 2;
    vec![vec![0; first], vec![0; credit - first - 2 * FRAME_CREDIT_BYTES]]
}

/// The next entry that the side under test sends.
async fn next_credit(raw: &mut Raw) -> Credit {
    let body = within(raw.next_of(CREDIT)).await.body;
    Credit::decode(body.try_into().expect("one entry at a time"))
}

#[tokio::test]
async fn an_agent_may_send_so_much_unread_and_no_more() {
    for (more, ends) in [(0, false), (1, false), (2, true)] {
        let (mut raw, session, mut control, driver) = Raw::agent_of(&Config::default()).await;
        let driver = tokio::spawn(driver.run());
        let _stream = within(session.open(&header())).await.unwrap();
        for body in frames_that_cost(INITIAL_CREDIT_BYTES - 1 + more) {
            raw.data(0, 2, &body).await;
        }
        if ends {
            assert_eq!(within(driver).await.unwrap(), OVERRUN);
        } else {
            raw.control(&Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }, 0).await;
            assert_eq!(
                within(control.recv()).await,
                Ok(Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves })
            );
        }
    }
}

#[tokio::test]
async fn a_server_may_send_so_much_unread_and_no_more() {
    for (more, ends) in [(0, false), (1, false), (2, true)] {
        let (mut raw, incoming, mut control, driver) = Raw::server_of(&Config::default());
        let driver = tokio::spawn(driver.run());
        let frames = frames_that_cost(INITIAL_CREDIT_BYTES - 1 + more);
        raw.data(SYN, 2, &frames[0]).await;
        raw.data(0, 2, &frames[1]).await;
        if ends {
            assert_eq!(within(driver).await.unwrap(), OVERRUN);
        } else {
            raw.control(&Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves }, 0).await;
            assert_eq!(
                within(control.recv()).await,
                Ok(Frame::Drain { deadline_ms: 1, reason: DrainReason::NodeLeaves })
            );
        }
        drop(incoming);
    }
}

#[tokio::test]
async fn a_first_frame_is_counted_too() {
    let (mut raw, _incoming, _control, driver) = Raw::server_of(&Config::default());
    let driver = tokio::spawn(driver.run());
    raw.data(SYN, 2, &vec![0; limits::FRAME_BODY_BYTES_TAKEN_MAX]).await;
    raw.data(0, 2, &vec![0; limits::FRAME_BODY_BYTES_TAKEN_MAX]).await;
    assert_eq!(within(driver).await.unwrap(), OVERRUN);
}

#[tokio::test]
async fn frames_of_one_byte_are_counted_with_what_they_cost() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    let driver = tokio::spawn(driver.run());
    let _stream = within(session.open(&header())).await.unwrap();
    let fit = INITIAL_CREDIT_BYTES / (1 + FRAME_CREDIT_BYTES);
    for _ in 0..fit {
        raw.data(0, 2, &[0]).await;
    }
    raw.settled().await;
    assert!(!session.is_closed());
    raw.data(0, 2, &[0]).await;
    assert_eq!(within(driver).await.unwrap(), OVERRUN);
}

#[tokio::test]
async fn the_services_take_so_much_unread_and_no_more() {
    let (mut raw, session, control, driver) = Raw::agent_of(&Config::default()).await;
    let driver = tokio::spawn(driver.run());
    // An owner who does not read: what its queue does not take stays unread.
    let drain = [6, 0, 7, 0, 1, 0, 0, 0, 1, 0];
    let frames = limits::SERVICE_UNREAD_BYTES_MAX / (1 + FRAME_CREDIT_BYTES);
    let queued = (limits::CONTROL_QUEUE_FRAMES + 2) * 10;
    for byte in drain.iter().cycle().take(frames) {
        raw.data(0, CONTROL, &[*byte]).await;
    }
    raw.settled().await;
    assert!(!session.is_closed(), "what the queue took does not count any more");
    let more = drain.iter().cycle().skip(frames).take(queued);
    let more: Vec<u8> = more.flat_map(|byte| [0, DATA, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, *byte]).collect();
    // It does not hear us out.
    let _ = raw.io.write_all(&more).await;
    assert_eq!(within(driver).await.unwrap(), OVERRUN);
    drop(control);
}

#[tokio::test]
async fn what_is_read_may_be_sent_again() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut stream = within(session.open(&header())).await.unwrap();
    raw.data(ACK, 2, &dialled()).await;
    let mut sent = 0;
    let mut given = 0;
    while sent < 4 << 20 {
        let body = data_record(&vec![1; 16_000]);
        raw.data(0, 2, &body).await;
        sent += body.len() + FRAME_CREDIT_BYTES;
        within(stream.read_exact(&mut vec![0; 16_000])).await.unwrap();
        while sent - given > INITIAL_CREDIT_BYTES / 2 {
            let credit = next_credit(&mut raw).await;
            assert_eq!(credit.stream, 2);
            given += usize::try_from(credit.bytes).unwrap();
            assert!(given <= sent + dialled().len() + FRAME_CREDIT_BYTES, "never more than was read");
        }
    }
}

#[tokio::test]
async fn a_writer_stops_and_asks_once_until_it_is_given_more() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut stream = within(session.open(&header())).await.unwrap();
    raw.data(ACK, 2, &dialled()).await;
    assert_eq!(within(stream.answer()).await, Ok(Answer::Dialled));
    let writer = tokio::spawn(async move { stream.write_all(&vec![7; 1 << 20]).await });
    let mut may_send = INITIAL_CREDIT_BYTES;
    let mut sent = 0;
    // As far as yamux's window goes.
    for round in 1..=30 {
        let mut questions = 0;
        while questions == 0 {
            let frame = within(raw.next()).await.unwrap();
            (sent, questions) = count(&frame, sent, questions);
        }
        // The question may overtake the last bytes.
        raw.send(PING, SYN, 0, round, &[]).await;
        let mut is_settled = false;
        while !is_settled {
            let frame = within(raw.next()).await.unwrap();
            is_settled = frame.tag == PING && frame.length == round;
            (sent, questions) = count(&frame, sent, questions);
        }
        assert_eq!(questions, 1, "round {round}");
        assert!(sent <= may_send && sent + FRAME_CREDIT_BYTES >= may_send, "{sent} of {may_send}");
        let more = 5_000 + round;
        raw.credit(2, more).await;
        may_send += usize::try_from(more).unwrap();
    }
    assert!(!writer.is_finished());
}

fn count(frame: &RawFrame, sent: usize, questions: usize) -> (usize, usize) {
    match (frame.tag, frame.id) {
        (DATA, 2) => (sent + frame.body.len() + FRAME_CREDIT_BYTES, questions),
        (DATA, CREDIT) => {
            assert_eq!(frame.body, Credit { stream: 2, bytes: 0 }.encode());
            (sent, questions + 1)
        }
        _ => (sent, questions),
    }
}

#[tokio::test]
async fn credit_of_unknown_streams_and_too_much_of_it_hurt_nobody() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut stream = within(session.open(&header())).await.unwrap();
    for id in [0, CONTROL, 2, CREDIT, 4, u32::MAX] {
        for bytes in [0, 1, u32::MAX, u32::MAX] {
            raw.credit(id, bytes).await;
        }
    }
    raw.data(0, CREDIT, &[2, 0, 0]).await;
    raw.data(0, CREDIT, &[0, 1, 0, 0, 0]).await;
    raw.data(ACK, 2, &dialled()).await;
    assert_eq!(within(stream.answer()).await, Ok(Answer::Dialled));
    within(stream.write_all(&vec![7; 200 << 10])).await.unwrap();
    assert!(!session.is_closed());
}

/// A duplex pipe between the two ends, and both streams of a dialled one.
async fn with_config(config: &Config) -> (Pair, Stream, Stream) {
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, config);
    let (ours, theirs) = pair.stream().await;
    (pair, ours, theirs)
}

/// The one that credit in the stream itself would lose: each side's credit would wait behind the other's data.
#[tokio::test]
async fn a_writer_that_does_not_read_gets_credit_all_the_same() {
    let (_pair, ours, theirs) = with_config(&Config::default()).await;
    let bytes = Dice::new(5).bytes(6 << 20);
    let (mut their_reader, mut their_writer) = split(theirs);
    let sent_back = bytes.clone();
    let back = tokio::spawn(async move { their_writer.write_all(&sent_back).await });
    let expected = bytes.clone();
    let reader = tokio::spawn(async move {
        let mut read = vec![0; expected.len()];
        their_reader.read_exact(&mut read).await.unwrap();
        read == expected
    });
    let mut ours = ours;
    within(ours.write_all(&bytes)).await.unwrap();
    within(ours.flush()).await.unwrap();
    assert!(within(reader).await.unwrap());
    assert!(!back.is_finished(), "nobody has read yet what they send");
    let mut read = vec![0; bytes.len()];
    within(ours.read_exact(&mut read)).await.unwrap();
    assert!(read == bytes);
}

#[tokio::test]
async fn readers_that_stall_hold_what_was_set_aside_for_them() {
    let budget = Budget::new(1 << 30);
    let config = Config { budget: budget.clone(), ..Config::default() };
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, &config);
    let mut writers = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..200 {
        let (ours, theirs) = pair.stream().await;
        readers.push(ours);
        writers.push(tokio::spawn(fill(theirs)));
    }
    // Another stream works beside them all the time.
    let (mut ours, mut theirs) = pair.stream().await;
    let mut stuck = 0;
    while stuck < 200 {
        within(theirs.write_all(&[1; 1_000])).await.unwrap();
        within(theirs.flush()).await.unwrap();
        within(ours.read_exact(&mut [0; 1_000])).await.unwrap();
        stuck = writers.iter().filter(|writer| writer.is_finished()).count();
    }
    // Both ends of all streams are in this process.
    assert_eq!(budget.used_bytes(), 2 * 201 * limits::STREAM_BYTES_RESERVED);
    let most = INITIAL_CREDIT_BYTES + limits::RECORD_DATA_BYTES_ALONE;
    for writer in writers {
        let (_stream, written) = writer.await.unwrap();
        assert!(written > 60_000 && written <= most, "{written}");
    }
}

/// Writes until nothing has been taken for a while.
async fn fill(mut stream: Stream) -> (Stream, usize) {
    let mut written = 0;
    let mut idle = 0;
    while idle < 2_000 {
        let chunk = [7; 1_000];
        let write = stream.write(&chunk);
        tokio::pin!(write);
        match poll_now(&mut write).await {
            std::task::Poll::Ready(bytes) => {
                written += bytes.unwrap();
                idle = 0;
            }
            std::task::Poll::Pending => idle += 1,
        }
        tokio::task::yield_now().await;
    }
    (stream, written)
}

#[tokio::test]
async fn a_full_budget_refuses_streams_and_ends_none() {
    let share = limits::STREAM_BYTES_RESERVED;
    // Both ends take their shares from it: of four, the last is the acceptor's of the second stream.
    for (bytes, accepted) in [(4 * share - 1, false), (4 * share, true), (4 * share + 1, true)] {
        let budget = Budget::new(bytes);
        let config = Config { budget: budget.clone(), ..Config::default() };
        let (mut pair, mut ours, mut theirs) = with_config(&config).await;
        let mut second = pair.session.open(&header()).await.unwrap();
        if accepted {
            let arrival = within(pair.incoming.next()).await.unwrap();
            assert_eq!(pair.session.open(&header()).await.unwrap_err(), OpenError::Full);
            drop(arrival);
        } else {
            let error = within(second.answer()).await.unwrap_err();
            assert_eq!(error, StreamError::Aborted(AbortCode::Limit));
        }
        within(ours.write_all(b"still here")).await.unwrap();
        within(ours.flush()).await.unwrap();
        within(theirs.read_exact(&mut [0; 10])).await.unwrap();
        drop((second, ours, theirs));
        until(|| budget.used_bytes() == 0).await;
    }
}

#[tokio::test]
async fn what_a_stream_held_is_given_back() {
    let budget = Budget::new(64 << 20);
    let config = Config { budget: budget.clone(), ..Config::default() };
    let (pair, mut ours, mut theirs) = with_config(&config).await;
    let bytes = vec![3; 16 << 20];
    let expected = bytes.len();
    let writer = tokio::spawn(async move {
        theirs.write_all(&bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        theirs
    });
    let mut read = Vec::new();
    ours.shutdown().await.unwrap();
    within(ours.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read.len(), expected);
    assert!(budget.used_bytes() <= budget.total_bytes() / 2 + 2 * limits::STREAM_BYTES_RESERVED);
    drop((ours, within(writer).await.unwrap()));
    until(|| budget.used_bytes() == 0).await;
    drop(pair);
}

/// An agent far away, with a stream on which it has used up its credit and asked for more. Gives what it is given once
/// everything was read.
async fn given_to_a_far_agent(budget: Budget) -> usize {
    let config = Config { budget, heartbeat_idle: Duration::from_hours(1), ..Config::default() };
    let (mut raw, session, _control, driver) = Raw::agent_of(&config).await;
    tokio::spawn(driver.run());
    let ping = within_paused(raw.next_ping()).await;
    sleep(Duration::from_millis(100)).await;
    raw.send(PING, ACK, 0, ping, &[]).await;
    let mut stream = session.open(&header()).await.unwrap();
    raw.data(ACK, 2, &dialled()).await;
    let mut left = INITIAL_CREDIT_BYTES - dialled().len() - FRAME_CREDIT_BYTES;
    let mut data = 0;
    while left > FRAME_CREDIT_BYTES + 4 {
        let body = (left - FRAME_CREDIT_BYTES).min(16_004);
        raw.data(0, 2, &data_record(&vec![1; body - 4])).await;
        left -= body + FRAME_CREDIT_BYTES;
        data += body - 4;
    }
    raw.credit(2, 0).await;
    stream.read_exact(&mut vec![0; data]).await.unwrap();
    let reader = tokio::spawn(async move { stream.read(&mut [0; 1]).await.map(|_| stream) });
    let mut given = 0;
    // What the reader and the driver say to each other takes a few rounds.
    for round in 0..10 {
        raw.send(PING, SYN, 0, round, &[]).await;
        loop {
            let frame = raw.next().await.unwrap();
            if frame.tag == PING {
                break;
            }
            if frame.id == CREDIT && frame.tag == DATA {
                let (entries, _) = frame.body.as_chunks::<8>();
                let bytes = entries.iter().map(|entry| Credit::decode(*entry).bytes);
                given += usize::try_from(bytes.sum::<u32>()).unwrap();
            }
        }
    }
    reader.abort();
    given
}

async fn within_paused<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_mins(50), future).await.expect("nothing happened")
}

#[tokio::test(start_paused = true)]
async fn a_far_peer_gets_a_wider_window_when_it_asks_and_the_reader_waits() {
    let given = given_to_a_far_agent(Budget::new(64 << 20)).await;
    assert!(given > 3 * INITIAL_CREDIT_BYTES && given <= 4 * INITIAL_CREDIT_BYTES, "{given}");
}

#[tokio::test(start_paused = true)]
async fn a_window_grows_out_of_the_first_half_of_the_budget_only() {
    let growth = 3 * INITIAL_CREDIT_BYTES + limits::STREAM_BYTES_RESERVED;
    for (half, grows) in [(growth - 1, false), (growth, true), (growth + 1, true)] {
        let given = given_to_a_far_agent(Budget::new(2 * half)).await;
        assert_eq!(given > INITIAL_CREDIT_BYTES, grows, "{half}: {given}");
    }
}
