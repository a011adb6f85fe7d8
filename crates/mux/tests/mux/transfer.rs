//! Real pairs: many transfers at once, checked byte by byte.

use std::{io::IoSlice, sync::Arc};

use adit_mux::{Answer, Incoming, Session, Stream, StreamError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    task::JoinSet,
};

use crate::kit::{Dice, header, pair, tcp_pair, until, within};

const TRANSFERS: u64 = 1_500;

/// Writes what the seed says, in pieces of any size, and ends.
async fn send(stream: &mut (impl tokio::io::AsyncWrite + Unpin), seed: u64) {
    let mut dice = Dice::new(seed);
    let size = dice.size();
    let bytes = dice.bytes(size);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(1 + dice.below(70_000))];
        let (head, tail) = piece.split_at(dice.below(piece.len()));
        let taken = if dice.below(2) == 0 {
            stream.write(piece).await.unwrap()
        } else {
            stream.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]).await.unwrap()
        };
        if dice.below(8) == 0 {
            stream.flush().await.unwrap();
        }
        rest = &rest[taken..];
    }
    stream.shutdown().await.unwrap();
}

async fn receive(stream: &mut (impl tokio::io::AsyncRead + Unpin), seed: u64) {
    let mut dice = Dice::new(seed);
    let size = dice.size();
    let expected = dice.bytes(size);
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert!(read == expected, "seed {seed}: {} bytes of {}", read.len(), expected.len());
}

impl Dice {
    /// Mostly small, sometimes larger than a window.
    fn size(&mut self) -> usize {
        match self.below(10) {
            0 => 0,
            1..=6 => self.below(5_000),
            7 | 8 => self.below(100_000),
            _ => self.below(700_000),
        }
    }
}

async fn serve_transfers(mut incoming: Incoming) {
    let mut tasks = JoinSet::new();
    while let Some(arrival) = incoming.next().await {
        tasks.spawn(async move {
            let mut stream = arrival.stream;
            stream.send_answer(Answer::Dialled).await.unwrap();
            let seed = stream.read_u64().await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::join!(receive(&mut reader, seed), send(&mut writer, !seed));
        });
    }
    tasks.join_all().await;
}

async fn transfer(session: Session, seed: u64) {
    let mut stream = session.open(&header()).await.unwrap();
    stream.write_u64(seed).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::join!(send(&mut writer, seed), receive(&mut reader, !seed));
}

async fn many(session: Session, incoming: Incoming) {
    let agent = tokio::spawn(serve_transfers(incoming));
    let at_once = Arc::new(Semaphore::new(60));
    let mut transfers = JoinSet::new();
    for seed in 0..TRANSFERS {
        let place = Arc::clone(&at_once).acquire_owned().await.unwrap();
        let session = session.clone();
        transfers.spawn(async move {
            transfer(session, seed).await;
            drop(place);
        });
    }
    transfers.join_all().await;
    until(|| session.open_streams() == 0).await;
    session.close("done");
    agent.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_both_ways_over_tcp() {
    let pair = tcp_pair().await;
    many(pair.session, pair.incoming).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_both_ways_over_a_narrow_pipe() {
    let pair = pair();
    many(pair.session, pair.incoming).await;
}

#[tokio::test]
async fn many_transfers_both_ways_on_one_thread() {
    let pair = tcp_pair().await;
    many(pair.session, pair.incoming).await;
}

#[tokio::test]
async fn a_slow_reader_stalls_only_itself() {
    let mut pair = tcp_pair().await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let (mut ours, theirs) = within(pair.stream()).await;
        let writer = tokio::spawn(async move {
            let written = ours.write_all(&vec![1; 4 << 20]).await;
            ours.shutdown().await.unwrap();
            written.unwrap();
        });
        stalled.push((theirs, writer));
    }
    for _ in 0..50 {
        let (ours, mut theirs) = within(pair.stream()).await;
        let ours = tokio::spawn(async move {
            let mut ours = ours;
            ours.write_all(&vec![2; 100_000]).await.unwrap();
            ours.shutdown().await.unwrap();
            let mut read = Vec::new();
            ours.read_to_end(&mut read).await.unwrap();
            read.len()
        });
        let mut read = Vec::new();
        within(theirs.read_to_end(&mut read)).await.unwrap();
        theirs.write_all(&read).await.unwrap();
        theirs.shutdown().await.unwrap();
        assert_eq!((read.len(), within(ours).await.unwrap()), (100_000, 100_000));
    }
    for (mut theirs, writer) in stalled {
        assert!(!writer.is_finished(), "4 MiB do not fit into any window");
        let mut read = Vec::new();
        within(theirs.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read.len(), 4 << 20);
        within(writer).await.unwrap();
    }
}

async fn open_and_echo(session: Session, index: u32) -> Stream {
    let mut stream = session.open(&header()).await.unwrap();
    stream.write_u32(index).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u32().await.unwrap(), index);
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once() {
    let mut pair = tcp_pair().await;
    let agent = tokio::spawn(async move {
        let mut echoes = JoinSet::new();
        while let Some(arrival) = pair.incoming.next().await {
            echoes.spawn(async move {
                let mut stream = arrival.stream;
                stream.send_answer(Answer::Dialled).await.unwrap();
                let index = stream.read_u32().await.unwrap();
                stream.write_u32(index).await.unwrap();
                stream.flush().await.unwrap();
                stream.read_u8().await.unwrap_err()
            });
        }
        echoes.join_all().await
    });
    let mut opening = JoinSet::new();
    for index in 0..1_000 {
        opening.spawn(open_and_echo(pair.session.clone(), index));
    }
    let streams = within(opening.join_all()).await;
    assert_eq!(pair.session.open_streams(), 1_000);
    drop(streams);
    until(|| pair.session.open_streams() == 0).await;
    pair.session.close("done");
    for error in within(agent).await.unwrap() {
        assert_eq!(StreamError::of(&error), Some(StreamError::Cut));
    }
}

#[tokio::test]
async fn a_large_body_passes_through_small_windows() {
    let mut pair = tcp_pair().await;
    let (mut ours, mut theirs) = within(pair.stream()).await;
    let piece = Dice::new(9).bytes(1 << 20);
    let sent = piece.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..64 {
            theirs.write_all(&sent).await.unwrap();
        }
        theirs.shutdown().await.unwrap();
        theirs
    });
    let mut read = vec![0; 1 << 20];
    for _ in 0..64 {
        within(ours.read_exact(&mut read)).await.unwrap();
        assert!(read == piece);
    }
    assert_eq!(within(ours.read(&mut read)).await.unwrap(), 0);
    within(writer).await.unwrap();
}
