#![expect(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use super::{DialError, dial, first_of, in_turn, is_loopback_name};
use crate::limits::{DIAL_ADDRESSES_MAX, DIAL_STAGGER};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test]
async fn localhost_means_both_families() {
    for bound in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(bound).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "LOCALHOST.", "demo.localhost"] {
            let stream = dial(host, port, soon()).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
            assert!(stream.nodelay().unwrap());
        }
    }
}

#[tokio::test]
async fn literal_addresses_need_no_resolver() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["::1", "[::1]"] {
        assert!(dial(host, port, soon()).await.unwrap().peer_addr().unwrap().is_ipv6());
    }
}

#[tokio::test]
async fn a_closed_port_is_refused_and_says_where() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = dial("localhost", port, soon()).await.unwrap_err();
    assert!(matches!(refused, DialError::Refused { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&port.to_string()));
}

#[tokio::test]
async fn an_unknown_name_is_not_refused_but_not_found() {
    // An empty label: no resolver needs to be asked, and none can make something up.
    let missing = dial("no..name", 80, soon()).await.unwrap_err();
    assert!(matches!(missing, DialError::Resolve { .. }), "{missing:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_that_does_not_answer_ends_at_the_deadline() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let waits_to_be_accepted = TcpStream::connect(address).await.unwrap();

    let begin = Instant::now();
    let deadline = begin + Duration::from_millis(50);
    let late = dial("127.0.0.1", address.port(), deadline).await.unwrap_err();
    assert!(matches!(late, DialError::Deadline { .. }), "{late:?}");
    assert!(Instant::now() >= deadline);
    drop(waits_to_be_accepted);
}

/// The first address does not answer, the second does. The head start of the first is all that this runtime waits for.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_slow_address_does_not_hold_up_the_next() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let silent = full.local_addr().unwrap();
    let waits_to_be_accepted = TcpStream::connect(silent).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answers = listener.local_addr().unwrap();

    let begun = Instant::now();
    let Ok(stream) = first_of(vec![silent, answers]).await else { panic!("no connection") };
    assert_eq!(begun.elapsed().as_millis(), DIAL_STAGGER.as_millis());
    assert_eq!(stream.peer_addr().unwrap(), answers);
    drop(waits_to_be_accepted);
}

#[test]
fn only_localhost_and_below_are_loopback_names() {
    for (name, loopback) in [
        ("localhost", true),
        ("a.b.localhost", true),
        ("localhost.", true),
        ("notlocalhost", false),
        ("localhost.example", false),
        ("", false),
    ] {
        assert_eq!(is_loopback_name(name), loopback, "{name}");
    }
}

#[test]
fn families_take_turns_up_to_the_bound() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (a, b, c) = (address("[::1]:1"), address("[::2]:1"), address("1.1.1.1:1"));
    assert_eq!(in_turn(vec![a, b, c]), [a, c, b]);
    assert_eq!(in_turn(vec![c, a, b]), [c, a, b]);
    assert_eq!(in_turn(vec![]), []);
    for (given, kept) in [
        (DIAL_ADDRESSES_MAX - 1, DIAL_ADDRESSES_MAX - 1),
        (DIAL_ADDRESSES_MAX, DIAL_ADDRESSES_MAX),
        (DIAL_ADDRESSES_MAX + 1, DIAL_ADDRESSES_MAX),
    ] {
        assert_eq!(in_turn(vec![a; given]).len(), kept);
    }
}
