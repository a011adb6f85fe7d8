//! A peer far away: one stream must be able to fill the line between.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adit_mux::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until},
};

use crate::kit::{pair_over, within};

/// What the line carries in a second, whatever its length.
const BYTES_PER_MS: usize = 40_000;

/// A line with a delay, which holds so many bytes and no more, like a TCP connection whose window is what the line
/// holds.
struct Line {
    near: DuplexStream,
    far: DuplexStream,
    /// Most bytes that were under way at a time towards the near end.
    most_under_way: Arc<AtomicUsize>,
    held_bytes: usize,
}

impl Line {
    fn new(round_trip_ms: usize) -> Self {
        let held_bytes = BYTES_PER_MS * round_trip_ms;
        let delay = Duration::from_micros(u64::try_from(round_trip_ms).unwrap() * 500);
        let ((near, here), (there, far)) = (duplex(64 << 10), duplex(64 << 10));
        let ((from_near, to_near), (from_far, to_far)) = (split(here), split(there));
        let most_under_way = Arc::new(AtomicUsize::new(0));
        carry((from_near, to_far), delay, held_bytes, Arc::default());
        carry((from_far, to_near), delay, held_bytes, Arc::clone(&most_under_way));
        Self { near, far, most_under_way, held_bytes }
    }
}

type Piece = (Instant, Vec<u8>, OwnedSemaphorePermit);

/// Bytes are under way for the delay, and their room is free again after as long: the news of it has to come back.
fn carry(
    (mut from, mut to): (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>),
    delay: Duration,
    held_bytes: usize,
    most: Arc<AtomicUsize>,
) {
    let room = Arc::new(Semaphore::new(held_bytes));
    let (put, mut take) = mpsc::channel::<Piece>(100_000);
    let (free, mut freed) = mpsc::channel::<(Instant, OwnedSemaphorePermit)>(100_000);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let permits = u32::try_from(read).unwrap();
            let permit = Arc::clone(&room).acquire_many_owned(permits).await.unwrap();
            most.fetch_max(held_bytes - room.available_permits(), Ordering::Relaxed);
            if put.send((Instant::now() + delay, buffer[..read].to_vec(), permit)).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes, permit)) = take.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err()
                || free.send((Instant::now() + delay, permit)).await.is_err()
            {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    tokio::spawn(async move {
        while let Some((due, permit)) = freed.recv().await {
            sleep_until(due).await;
            drop(permit);
        }
    });
}

/// The line by itself, as the measure.
async fn plain(round_trip_ms: usize, bytes: usize) -> Duration {
    let Line { mut near, mut far, .. } = Line::new(round_trip_ms);
    let start = Instant::now();
    let writer = tokio::spawn(async move {
        far.write_all(&vec![1; bytes]).await.unwrap();
        far
    });
    within(near.read_exact(&mut vec![0; bytes])).await.unwrap();
    drop(writer.await.unwrap());
    start.elapsed()
}

/// What one stream sends from the far end; says how long it took and how much of the line it filled.
async fn over_a_stream(round_trip_ms: usize, bytes: usize) -> (Duration, f64) {
    let Line { near, far, most_under_way, held_bytes } = Line::new(round_trip_ms);
    let mut pair = pair_over(near, far, &Config::default());
    let (mut ours, mut theirs) = pair.stream().await;
    let start = Instant::now();
    let writer = tokio::spawn(async move {
        theirs.write_all(&vec![1; bytes]).await.unwrap();
        theirs.flush().await.unwrap();
        theirs
    });
    within(ours.read_exact(&mut vec![0; bytes])).await.unwrap();
    drop(writer.await.unwrap());
    let took = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
    let filled = most_under_way.load(Ordering::Relaxed) as f64 / held_bytes as f64;
    (took, filled)
}

#[expect(clippy::print_stderr, reason = "a measurement that somebody may want to read")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_fills_a_line_of_any_length() {
    for round_trip_ms in [5, 50, 100] {
        let bytes = 20 * BYTES_PER_MS * round_trip_ms.max(50);
        let plain = plain(round_trip_ms, bytes).await;
        let (took, filled) = over_a_stream(round_trip_ms, bytes).await;
        let speed = plain.as_secs_f64() / took.as_secs_f64();
        // The speed is for who reads this; a busy machine decides about it too.
        eprintln!("{round_trip_ms} ms: {filled:.2} of the line, {speed:.2} of its speed");
        assert!(filled >= 0.7, "{round_trip_ms} ms: {filled:.2}");
    }
}
