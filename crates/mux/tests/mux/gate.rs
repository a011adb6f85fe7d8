//! Y1: our gate lies below yamux's limit, and reaching it hurts nobody.

use std::task::Poll;

use adit_mux::{Answer, Config, OpenError, StreamError, limits};
use adit_wire::record::{AbortCode, RecordHeader, abort};
use tokio::time::Instant;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    task::JoinSet,
};

use crate::{
    kit::{header, pair, pair_over, poll_now, until, within},
    raw::{ACK, CONTROL, RST, Raw, SYN, WINDOW, dialled},
};

#[tokio::test]
async fn a_thousand_streams_work_and_the_next_one_is_refused() {
    let mut pair = pair();
    let mut streams = Vec::new();
    for count in 1..=limits::STREAMS_MAX {
        streams.push(within(pair.stream()).await);
        assert_eq!(pair.session.open_streams(), count);
    }
    assert_eq!(pair.session.open(&header()).await.unwrap_err(), OpenError::Full);

    let mut echoes = JoinSet::new();
    for (index, (mut ours, mut theirs)) in streams.drain(..).enumerate() {
        echoes.spawn(async move {
            let sent = u32::try_from(index).unwrap().to_be_bytes();
            ours.write_all(&sent).await.unwrap();
            let mut read = [0; 4];
            theirs.read_exact(&mut read).await.unwrap();
            assert_eq!(read, sent);
            (ours, theirs)
        });
    }
    let mut streams = within(echoes.join_all()).await;
    assert_eq!(pair.session.open(&header()).await.unwrap_err(), OpenError::Full);

    drop(streams.pop());
    assert_eq!(pair.session.open_streams(), limits::STREAMS_MAX - 1);
    streams.push(within(pair.stream()).await);
    assert_eq!(pair.session.open(&header()).await.unwrap_err(), OpenError::Full);

    streams.clear();
    assert_eq!((pair.session.open_streams(), pair.incoming.open_streams()), (0, 0));
    within(pair.stream()).await;
    assert!(!pair.session.is_closed());
}

#[tokio::test]
async fn the_preface_may_allow_fewer() {
    let config = Config { streams_max: 2, ..Config::default() };
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, &config);
    let _streams = (within(pair.stream()).await, within(pair.stream()).await);
    assert_eq!(pair.session.open(&header()).await.unwrap_err(), OpenError::Full);
}

#[tokio::test]
async fn streams_opened_and_dropped_for_ever_fill_nothing() {
    let config = Config { streams_max: 3, ..Config::default() };
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, &config);
    for _ in 0..2 * limits::YAMUX_STREAMS_MAX {
        within(pair.stream()).await;
    }
    assert_eq!(pair.session.open_streams(), 0);
    until(|| pair.incoming.open_streams() == 0).await;
    assert!(!pair.session.is_closed());
}

#[tokio::test]
async fn a_cancelled_open_leaves_no_place() {
    let (mut raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(within(session.open(&header())).await.unwrap());
    }
    // The peer has answered none of them: yamux keeps the next ones waiting.
    for waiting in 1..=3 {
        let header = header();
        let mut opens: Vec<_> = (0..waiting).map(|_| Box::pin(session.open(&header))).collect();
        for open in &mut opens {
            assert!(poll_now(open).await.is_pending());
        }
        assert_eq!(session.open_streams(), 256 + waiting);
        drop(opens);
        assert_eq!(session.open_streams(), 256);
    }
    raw.data(ACK, 2, &dialled()).await;
    streams.push(within(session.open(&header())).await.unwrap());
    assert_eq!(session.open_streams(), 257);
    drop(streams);
    assert_eq!(session.open_streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_that_yamux_delays_for_too_long_fails_alone() {
    let (_raw, session, _control, driver) = Raw::agent_of(&Config::default()).await;
    tokio::spawn(driver.run());
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(session.open(&header()).await.unwrap());
    }
    let begun = Instant::now();
    assert_eq!(session.open(&header()).await.unwrap_err(), OpenError::Stalled);
    assert_eq!(begun.elapsed().as_millis(), limits::OPEN_DEADLINE.as_millis());
    assert_eq!(session.open_streams(), 256);
    assert!(!session.is_closed());
}

#[tokio::test]
async fn a_connection_that_takes_no_bytes_is_not_filled_with_streams() {
    let (server, peer) = duplex(1024);
    let (session, _control, driver) = adit_mux::serve(server, &Config::default());
    tokio::spawn(driver.run());
    let mut raw = Raw::over(peer);
    raw.data(SYN, CONTROL, &[]).await;
    // Each of these is opened, answered unseen, and dropped: many more of them than yamux has room for. The peer reads
    // nothing, so yamux forgets none of them.
    let mut opened = 0;
    for _ in 0..2 * limits::YAMUX_STREAMS_MAX {
        let header = header();
        let mut open = Box::pin(session.open(&header));
        for _ in 0..4 {
            if let Poll::Ready(stream) = poll_now(&mut open).await {
                opened += u32::from(stream.is_ok());
                raw.data(ACK, 2 * opened, &[]).await;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert!((1..1_000).contains(&opened), "opened {opened}");
    assert_eq!(session.open_streams(), 0);
    assert!(!session.is_closed(), "{:?}", session.closed().reason());
}

#[tokio::test]
async fn the_acceptor_gives_up_what_is_beyond_its_gate_and_goes_on() {
    let config = Config { streams_max: 4, ..Config::default() };
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&config);
    tokio::spawn(driver.run());
    let most = 4 + limits::STREAMS_SLACK;
    let mut accepted = Vec::new();
    for index in 1..=most + 1 {
        let id = u32::try_from(2 * index).unwrap();
        raw.data(SYN, id, &header().encode()).await;
        let answer = within(raw.next_of(id)).await;
        if index <= most {
            assert_eq!((answer.flags, answer.body), (ACK, RecordHeader::ACCEPTED.encode().into()));
            accepted.push(within(incoming.next()).await.unwrap().stream);
        } else {
            assert_eq!((answer.flags, answer.body), (ACK, abort(AbortCode::Limit).into()));
            assert_eq!(within(raw.next_of(id)).await.flags, RST);
        }
    }
    assert_eq!(incoming.open_streams(), most);
    accepted.pop().unwrap().send_answer(Answer::Refused).await.unwrap();
    until(|| incoming.open_streams() == most - 1).await;
    let id = u32::try_from(2 * most + 4).unwrap();
    raw.data(SYN, id, &header().encode()).await;
    assert_eq!(within(raw.next_of(id)).await.body, RecordHeader::ACCEPTED.encode());
}

#[tokio::test]
async fn the_ceiling_of_yamux_itself_is_far_away() {
    // A peer whose streams are reset faster than we forget them: our side still owns all of them.
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let mut held = Vec::new();
    for index in 1..=limits::STREAMS_MAX {
        let id = u32::try_from(2 * index).unwrap();
        raw.data(SYN, id, &header().encode()).await;
        raw.data(RST, id, &[]).await;
        held.push(within(incoming.next()).await.unwrap().stream);
    }
    raw.send(WINDOW, SYN, 10_000, 0, &[]).await;
    raw.data(0, 10_000, &header().encode()).await;
    let mut last = within(incoming.next()).await.unwrap().stream;
    assert_eq!(last.send_answer(Answer::Dialled).await, Ok(()));
    let error = held.pop().unwrap().send_answer(Answer::Dialled).await;
    assert_eq!(error, Err(StreamError::Cut));
}

#[tokio::test]
async fn a_session_that_has_opened_so_many_streams_asks_to_be_replaced_and_goes_on() {
    let config = Config { streams_opened_in_all: 3, ..Config::default() };
    let (server, agent) = duplex(64 << 10);
    let mut pair = pair_over(server, agent, &config);
    for opened in 1..=10 {
        let (mut ours, mut theirs) = pair.stream().await;
        assert_eq!(pair.session.is_retiring(), opened >= 3, "{opened}");
        within(ours.write_all(b"x")).await.unwrap();
        within(ours.flush()).await.unwrap();
        within(theirs.read_exact(&mut [0; 1])).await.unwrap();
    }
    within(pair.session.retiring()).await;
}
