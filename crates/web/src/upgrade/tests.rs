#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::{Carried, Patient, accepted, requested};

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[test]
fn what_is_asked_for() {
    for (connection, upgrade, wanted) in [
        ("Upgrade", "websocket", Some("websocket")),
        ("keep-alive, UPGRADE", "WebSocket", Some("WebSocket")),
        ("upgrade", "h2c, websocket , custom/1", Some("websocket, custom/1")),
        ("upgrade", "h2c", None),
        ("upgrade", "H2C", None),
        ("upgrade", "HTTP/2.0", None),
        ("upgrade", "", None),
        ("keep-alive", "websocket", None),
        ("", "websocket", None),
    ] {
        let headers = headers(&[("connection", connection), ("upgrade", upgrade)]);
        let got = requested(&headers, Version::HTTP_11);
        assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), wanted, "{connection:?} {upgrade:?}");
    }
    let asks = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    assert_eq!(requested(&asks, Version::HTTP_10), None);
    assert_eq!(requested(&asks, Version::HTTP_2), None);
}

#[test]
fn what_is_accepted() {
    let asked = HeaderValue::from_static("websocket, custom/1");
    for (chosen, wanted) in [("websocket", true), ("CUSTOM/1", true), ("custom/2", false), ("", false)] {
        assert_eq!(accepted(&asked, &headers(&[("upgrade", chosen)])), wanted, "{chosen:?}");
    }
    assert!(!accepted(&asked, &HeaderMap::new()));
}

/// Takes what is written in several pieces at once, a byte less than all of it, until it takes nothing any more.
struct Vectored {
    writes: Arc<AtomicUsize>,
    writes_max: usize,
}

impl AsyncRead for Vectored {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Vectored {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.writes.fetch_add(1, Ordering::SeqCst) >= self.writes_max {
            return Poll::Pending;
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum::<usize>().saturating_sub(1)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn several_pieces_go_out_in_one_write_and_whoever_takes_none_has_a_deadline() {
    const PATIENCE: Duration = Duration::from_secs(7);
    let writes = Arc::new(AtomicUsize::new(0));
    let mut carried = Carried::new(Vectored { writes: Arc::clone(&writes), writes_max: 1 }, None);
    let mut io = Patient::new(&mut carried, PATIENCE);
    assert!(io.is_write_vectored());
    let pieces = [IoSlice::new(b"one"), IoSlice::new(b"two"), IoSlice::new(b"three")];
    assert_eq!(io.write_vectored(&pieces).await.unwrap(), 10);
    assert_eq!(writes.load(Ordering::SeqCst), 1);
    let begun = Instant::now();
    let late = io.write_vectored(&pieces).await.unwrap_err();
    assert_eq!((late.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, PATIENCE.as_secs()));
}
