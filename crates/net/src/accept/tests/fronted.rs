//! Connections through a load balancer that is trusted.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Running, answers, echo, limits, run_at, until};
use crate::accept::Gate;
use crate::limits::PROXY_HEADER_DEADLINE;
use crate::proxy_protocol::{ProxyVersion, header, without_visitor};

/// Tells whom each connection comes from, and sends back what comes over it.
fn behind(trusted: &str, per_address_max: u32) -> (Running, mpsc::Receiver<SocketAddr>) {
    let (tell, told) = mpsc::channel(100);
    let gate = Gate::new(limits(100, per_address_max)).trusting(&[trusted.parse().unwrap()]);
    let running = run_at(gate, move |accepted| {
        let tell = tell.clone();
        async move {
            tell.send(accepted.peer).await.unwrap();
            echo(accepted).await;
        }
    });
    (running, told)
}

fn visitor(last: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, last], 4242))
}

async fn through(running: &Running, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

fn names(version: ProxyVersion, last: u8) -> Vec<u8> {
    header(version, visitor(last), SocketAddr::from(([127, 0, 0, 1], 443)))
}

#[tokio::test]
async fn whoever_the_header_names_is_the_peer_however_it_arrives() {
    let (running, mut told) = behind("127.0.0.0/8", 100);
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let header = names(version, 7);
        for cut in 0..=header.len() {
            let (first, second) = header.split_at(cut);
            let mut stream = through(&running, first).await;
            tokio::task::yield_now().await;
            stream.write_all(second).await.unwrap();
            assert_eq!(told.recv().await.unwrap(), visitor(7), "{version:?} {cut}");
            assert!(answers(&mut stream).await);
        }
    }
}

#[tokio::test]
async fn the_visitor_is_limited_and_the_load_balancer_is_not() {
    let (running, mut told) = behind("127.0.0.1", 2);
    let mut open = Vec::new();
    for last in [1, 1, 2, 2, 3] {
        open.push(through(&running, &names(ProxyVersion::V2, last)).await);
        assert_eq!(told.recv().await.unwrap(), visitor(last));
    }
    for version in [ProxyVersion::V1, ProxyVersion::V2, ProxyVersion::V1] {
        open.push(through(&running, &without_visitor(version)).await);
        assert_eq!(told.recv().await.unwrap().ip(), running.address.ip());
    }
    for stream in &mut open {
        assert!(answers(stream).await);
    }
    let mut one_too_many = through(&running, &names(ProxyVersion::V2, 1)).await;
    assert!(!answers(&mut one_too_many).await);
    assert_eq!((running.gate.counts().refused, running.gate.counts().open), (1, 8));
    drop(open);
    until(|| running.gate.counts().open == 0).await;
}

#[tokio::test]
async fn without_a_header_nothing_comes_of_it() {
    let (running, mut told) = behind("127.0.0.1", 100);
    for garbage in
        [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 203.0.113.7\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"]
    {
        let mut stream = through(&running, garbage).await;
        assert!(stream.read(&mut [0]).await.is_err(), "not reset after {garbage:?}");
    }
    // One that only looks whether somebody listens, and one that gives up.
    drop(through(&running, b"").await);
    drop(through(&running, b"PROXY").await);
    until(|| running.tasks.running() == 0 && running.gate.counts().accepted == 0).await;
    assert!(told.try_recv().is_err());
}

/// The deadline is all that this runtime waits for, so its clock goes on to it when nothing more comes.
#[tokio::test(start_paused = true)]
async fn a_header_has_a_deadline_however_far_it_came() {
    let (running, mut told) = behind("127.0.0.1", 100);
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let header = names(version, 7);
        for bytes in [0, 1, header.len() - 1] {
            let begun = Instant::now();
            let mut stream = through(&running, header.get(..bytes).unwrap()).await;
            assert!(stream.read(&mut [0]).await.is_err(), "not reset after {bytes} bytes");
            assert_eq!(begun.elapsed().as_millis(), PROXY_HEADER_DEADLINE.as_millis());
        }
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn from_anybody_else_a_header_is_what_it_looks_like() {
    let (running, mut told) = behind("192.0.2.0/24", 100);
    let header = names(ProxyVersion::V1, 7);
    let mut stream = through(&running, &header).await;
    assert_eq!(told.recv().await.unwrap(), stream.local_addr().unwrap());
    let mut back = vec![0; header.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, header);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_header() {
    let (running, _told) = behind("127.0.0.1", 100);
    let mut silent = through(&running, b"PROXY").await;
    until(|| running.tasks.running() == 1).await;
    running.trigger.drain();
    running.ends.await.unwrap();
    assert!(silent.read(&mut [0]).await.is_ok_and(|bytes| bytes == 0) || running.tasks.running() == 0);
    until(|| running.tasks.running() == 0).await;
}
