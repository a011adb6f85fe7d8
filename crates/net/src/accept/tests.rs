#![expect(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects, reason = "tests")]

#[cfg(target_os = "linux")]
mod descriptors;
mod fronted;

use std::net::SocketAddr;
use std::time::Duration;

use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::{Task, Tasks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{AcceptLoop, Accepted, ConnectionLimits, Gate};
use crate::listen;

const LONG: Duration = Duration::from_secs(30);

/// A running loop.
struct Running {
    address: SocketAddr,
    gate: Gate,
    tasks: Tasks,
    trigger: Trigger,
    ends: Task<()>,
}

fn run<H, F>(limits: ConnectionLimits, handler: H) -> Running
where
    H: Fn(Accepted) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    run_at(Gate::new(limits), handler)
}

fn run_at<H, F>(gate: Gate, handler: H) -> Running
where
    H: Fn(Accepted) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new("connections");
    let (trigger, shutdown) = Shutdown::new();
    let accept = AcceptLoop { name: "visitor", listener, gate: gate.clone(), tasks: tasks.clone() };
    let ends = Tasks::new("listeners").spawn("listener", accept.run(shutdown, handler));
    Running { address, gate, tasks, trigger, ends }
}

fn limits(connections_max: usize, per_address_max: u32) -> ConnectionLimits {
    ConnectionLimits { connections_max, per_address_max }
}

/// Sends back what comes until the visitor ends.
async fn echo(mut accepted: Accepted) {
    let (mut from, mut to) = accepted.stream.split();
    let _broken = tokio::io::copy(&mut from, &mut to).await;
}

/// Whether the connection answers; `false` once it was closed or reset.
async fn answers(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok()
}

async fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "it did not become true in time");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn connections_are_handed_over_with_nodelay_and_their_peer() {
    let (tell, mut told) = mpsc::channel(1);
    let running = run(limits(100, 100), move |accepted| {
        let tell = tell.clone();
        async move { tell.send((accepted.stream.nodelay().unwrap(), accepted.peer)).await.unwrap() }
    });
    let stream = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), (true, stream.local_addr().unwrap()));
}

#[tokio::test]
async fn a_slow_connection_and_a_panicking_one_hurt_nobody_else() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let running = run(limits(100, 100), move |accepted| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert_ne!(number, 1, "before the first await");
        async move {
            match number {
                0 => std::future::pending().await,
                2 => panic!("after the first await"),
                _ => echo(accepted).await,
            }
        }
    });
    let mut held = Vec::new();
    for expected in [None, Some(false), Some(false), Some(true)] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        if let Some(expected) = expected {
            assert_eq!(answers(&mut stream).await, expected);
        }
        held.push(stream);
    }
    assert_eq!(running.tasks.panics(), 2);
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share() {
    let running = run(limits(100, 2), echo);
    let mut first = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert!(answers(&mut first).await && answers(&mut second).await);
    let mut third = TcpStream::connect(running.address).await.unwrap();
    assert!(!answers(&mut third).await);

    drop(first);
    until(|| running.gate.counts().open == 1).await;
    let mut fourth = TcpStream::connect(running.address).await.unwrap();
    assert!(answers(&mut fourth).await);
    assert_eq!(running.gate.counts().refused, 1);
}

#[tokio::test]
async fn a_full_gate_lets_connections_wait_and_then_come_in() {
    let running = run(limits(2, 100), echo);
    let mut first = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert!(answers(&mut first).await && answers(&mut second).await);

    // The kernel takes it, the loop does not.
    let mut third = TcpStream::connect(running.address).await.unwrap();
    assert!(answers(&mut first).await);
    assert_eq!(running.gate.counts().accepted, 2);

    drop(first);
    assert!(answers(&mut third).await);
    assert_eq!(running.gate.counts().accepted, 3);
}

#[tokio::test]
async fn draining_closes_the_listener_and_leaves_connections_alone() {
    let running = run(limits(100, 100), echo);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert!(answers(&mut stream).await);

    running.trigger.drain();
    running.ends.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
    assert!(answers(&mut stream).await);

    drop(stream);
    assert_eq!(running.tasks.join_all(LONG).await.aborted, 0);
}

#[tokio::test]
async fn a_dropped_trigger_ends_the_loop() {
    let running = run(limits(100, 100), echo);
    drop(running.trigger);
    running.ends.await.unwrap();
}

#[tokio::test]
async fn a_full_gate_does_not_keep_the_loop_from_ending() {
    let running = run(limits(1, 100), echo);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert!(answers(&mut stream).await);
    running.trigger.drain();
    running.ends.await.unwrap();
}
