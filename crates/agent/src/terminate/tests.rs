#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_mux::limits::{HALF_CLOSED_IDLE, SOCKET_STALL};
use adit_mux::{PumpEnd, Traffic};
use adit_net::tls::{self, Roots};
use rcgen::generate_simple_self_signed;
use tempfile::TempDir;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::time::{Instant, sleep};
use tokio_rustls::{client, server};

use super::{Terminator, ferry};
use crate::certificate::Certificate;
use crate::limits::VISITOR_HANDSHAKES_MAX;

const NAME: &str = "ended.localhost";

/// A terminator, and the certificate that its visitors believe.
fn terminator() -> (Terminator, PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let pair = generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    fs::write(&chain, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let certificate = Certificate::load(&chain, &key).unwrap();
    (Terminator::new(certificate).unwrap(), chain, folder)
}

/// Both ends of a visitor's TLS.
async fn handshake() -> (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>) {
    let (terminator, chain, _folder) = terminator();
    let client = tls::http_client(&Roots::from_file(&chain).unwrap(), &[]).unwrap();
    let (near, far) = duplex(64 * 1024);
    let soon = Instant::now() + Duration::from_mins(1);
    let (near, far) = tokio::join!(
        tls::connect(client, NAME, near, soon),
        tls::accept(Arc::clone(&terminator.config), far, soon)
    );
    (near.unwrap(), far.unwrap())
}

#[test]
fn so_many_handshakes_at_a_time() {
    let (terminator, _chain, _folder) = terminator();
    let mut held: Vec<_> = (1..VISITOR_HANDSHAKES_MAX).map(|_| terminator.place().unwrap()).collect();
    held.push(terminator.place().unwrap());
    assert!(terminator.place().is_none());
    held.pop();
    assert!(terminator.place().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_half_closed_may_be_silent_for_a_while_only() {
    let (mut visitor, mut ours) = handshake().await;
    let (mut service, mut upstream) = duplex(1024);
    let (begun, traffic) = (Instant::now(), Traffic::default());
    let carrying = ferry::carry(&mut ours, &mut upstream, |_, _| Poll::Pending, &traffic);
    let talking = async {
        // Both sides open: silence means nothing.
        sleep(HALF_CLOSED_IDLE * 3).await;
        visitor.shutdown().await.unwrap();
        assert_eq!(service.read(&mut [0]).await.unwrap(), 0);
        sleep(HALF_CLOSED_IDLE / 2).await;
        service.write_all(b"x").await.unwrap();
        assert_eq!(visitor.read_u8().await.unwrap(), b'x');
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = carrying => end,
        () = talking => PumpEnd::Complete,
    };
    assert_eq!(end, PumpEnd::Idle);
    assert_eq!((traffic.to_io_bytes(), traffic.to_stream_bytes()), (0, 1));
    let expected = HALF_CLOSED_IDLE * 9 / 2;
    assert!(
        (expected..expected + Duration::from_secs(1)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
}

/// Also while the service takes nothing, so that nobody reads what the visitor's side says.
#[tokio::test(start_paused = true)]
async fn a_visitor_who_is_gone_is_noticed() {
    let (mut visitor, mut ours) = handshake().await;
    let (_service, mut upstream) = duplex(1);
    let traffic = Traffic::default();
    visitor.write_all(&vec![7; 30_000]).await.unwrap();
    visitor.flush().await.unwrap();
    let mut gone = Box::pin(sleep(Duration::from_secs(5)));
    let mut carrying = Box::pin(ferry::carry(&mut ours, &mut upstream, |_, _| Poll::Pending, &traffic));
    let undecided = poll_fn(|cx| match carrying.as_mut().poll(cx) {
        Poll::Ready(end) => Poll::Ready(Some(end)),
        Poll::Pending => gone.as_mut().poll(cx).map(|()| None),
    });
    assert_eq!(undecided.await, None, "it ended by itself");
    drop(carrying);
    assert_eq!(ferry::carry(&mut ours, &mut upstream, |_, _| Poll::Ready(()), &traffic).await, PumpEnd::Cut);
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_nothing_is_given_up() {
    let (mut visitor, mut ours) = handshake().await;
    let (mut service, mut upstream) = duplex(16);
    visitor.write_all(&[7; 1000]).await.unwrap();
    visitor.flush().await.unwrap();
    let begun = Instant::now();
    let traffic = Traffic::default();
    let carrying = ferry::carry(&mut ours, &mut upstream, |_, _| Poll::Pending, &traffic);
    let reading = async {
        // Whoever pauses for almost as long goes on.
        for _ in 0..2 {
            sleep(SOCKET_STALL.saturating_sub(SECOND)).await;
            assert_eq!(service.read_u8().await.unwrap(), 7);
        }
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = carrying => end,
        () = reading => PumpEnd::Complete,
    };
    assert_eq!(end, PumpEnd::Idle);
    assert_eq!(begun.elapsed().as_secs(), 3 * SOCKET_STALL.as_secs() - 2);
}

#[tokio::test(start_paused = true)]
async fn silence_is_no_stall() {
    let (mut visitor, mut ours) = handshake().await;
    let (mut service, mut upstream) = duplex(16);
    let traffic = Traffic::default();
    let carrying = ferry::carry(&mut ours, &mut upstream, |_, _| Poll::Pending, &traffic);
    let talking = async {
        for _ in 0..3 {
            // Blocked for a moment, then silent.
            visitor.write_all(&[7; 1000]).await.unwrap();
            visitor.flush().await.unwrap();
            sleep(SECOND).await;
            service.read_exact(&mut [0; 1000]).await.unwrap();
            sleep(2 * SOCKET_STALL).await;
        }
    };
    tokio::select! {
        end = carrying => panic!("{end:?}"),
        () = talking => {}
    }
}

/// A service that takes bytes, and never an end.
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
    let (mut visitor, mut ours) = handshake().await;
    let (_service, upstream) = duplex(16);
    visitor.shutdown().await.unwrap();
    let begun = Instant::now();
    let (mut upstream, traffic) = (Endless(upstream), Traffic::default());
    let end = ferry::carry(&mut ours, &mut upstream, |_, _| Poll::Pending, &traffic).await;
    assert_eq!((end, begun.elapsed().as_secs()), (PumpEnd::Idle, SOCKET_STALL.as_secs()));
}
