//! A pump whose socket takes nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use adit_mux::{PumpEnd, PumpLimits, StreamError, Traffic, limits::SOCKET_STALL, pump};
use adit_wire::record::AbortCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex},
    time::{Instant, sleep},
};

use crate::kit::pair;

/// Bytes that do not fit into the pipe under the pump.
const BYTES: usize = 1_000;
const PIPE_BYTES: usize = 16;

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_given_up() {
    for limits in [PumpLimits::of_server(), PumpLimits::of_agent()] {
        let mut pair = pair();
        let (mut ours, theirs) = pair.stream().await;
        let (mut socket, mut reader) = duplex(PIPE_BYTES);
        let pump = tokio::spawn(async move { pump(theirs, &mut socket, limits, &Traffic::default()).await });
        ours.write_all(&[9; BYTES]).await.unwrap();
        ours.flush().await.unwrap();
        // Whoever pauses for almost as long goes on, be it byte by byte.
        for _ in 0..3 {
            sleep(SOCKET_STALL.saturating_sub(Duration::from_secs(1))).await;
            assert!(!pump.is_finished());
            assert_eq!(reader.read_u8().await.unwrap(), 9);
        }
        sleep(SOCKET_STALL.saturating_sub(Duration::from_secs(1))).await;
        assert!(!pump.is_finished());
        let start = Instant::now();
        assert_eq!(pump.await.unwrap(), PumpEnd::Idle);
        assert_eq!(start.elapsed().as_secs(), 1);
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(StreamError::of(&error), Some(StreamError::Aborted(AbortCode::Idle)));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_no_stall() {
    let mut pair = pair();
    let (mut ours, theirs) = pair.stream().await;
    let (mut socket, mut reader) = duplex(PIPE_BYTES);
    let limits = PumpLimits::of_server();
    let pump = tokio::spawn(async move { pump(theirs, &mut socket, limits, &Traffic::default()).await });
    for _ in 0..3 {
        // Blocked for a moment, then silent.
        ours.write_all(&[9; BYTES]).await.unwrap();
        ours.flush().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        reader.read_exact(&mut [0; BYTES]).await.unwrap();
        sleep(2 * SOCKET_STALL).await;
        assert!(!pump.is_finished());
    }
}

/// A socket that takes bytes, and never an end.
struct Endless(DuplexStream);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Endless {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn nor_does_an_end_wait_for_ever() {
    let mut pair = pair();
    let (mut ours, theirs) = pair.stream().await;
    let (socket, _reader) = duplex(PIPE_BYTES);
    let (mut socket, limits) = (Endless(socket), PumpLimits::of_server());
    let start = Instant::now();
    let pump = tokio::spawn(async move { pump(theirs, &mut socket, limits, &Traffic::default()).await });
    ours.shutdown().await.unwrap();
    assert_eq!(pump.await.unwrap(), PumpEnd::Idle);
    assert_eq!(start.elapsed().as_secs(), SOCKET_STALL.as_secs());
}
