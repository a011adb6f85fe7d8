#![expect(clippy::unwrap_used, reason = "tests")]

use std::future::poll_fn;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::Linger;
use crate::limits::{LINGER_BYTES_MAX, LINGER_DEADLINE};

/// Lingers on a connection over which `bytes` come, then nothing; returns how long it took.
async fn linger(bytes: usize, closes: bool) -> std::time::Duration {
    let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let began = Instant::now();
    let mut linger = Linger::new();
    let peer = async {
        // The reader may leave before everything is written.
        let _ = theirs.write_all(&vec![0; bytes]).await;
        if closes {
            theirs.shutdown().await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = poll_fn(|cx| linger.poll(&mut ours, cx)) => began.elapsed(),
        () = peer => LINGER_DEADLINE,
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_peers_end() {
    assert!(linger(100_000, true).await < LINGER_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_has_its_moment_and_no_more() {
    assert!(linger(100_000, false).await >= LINGER_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_stops_is_left_at_the_bound() {
    // At n-1 it waits for more, at n and n+1 it has seen enough.
    assert!(linger(LINGER_BYTES_MAX - 1, false).await >= LINGER_DEADLINE);
    assert!(linger(LINGER_BYTES_MAX, false).await < LINGER_DEADLINE);
    assert!(linger(LINGER_BYTES_MAX + 1, false).await < LINGER_DEADLINE);
}
