#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests on bytes that they made themselves"
)]

mod samples;

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::{ClientHello, HelloError, peek};
use crate::limits::HELLO_BYTES_MAX;
use samples::{body, from_rustls, in_records, padded, rustls_reads};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Peeks at `bytes` as they arrive in `parts`, and checks that all of them can be read again.
async fn peek_parts(parts: (&[u8], &[u8])) -> Result<ClientHello, HelloError> {
    let stream = parts.0.chain(parts.1);
    let (hello, mut replay) = peek(stream, soon()).await?;
    let mut again = Vec::new();
    replay.read_to_end(&mut again).await.unwrap();
    assert!(again == [parts.0, parts.1].concat());
    Ok(hello)
}

async fn peek_all(bytes: &[u8]) -> Result<ClientHello, HelloError> {
    peek_parts((bytes, &[])).await
}

fn asked(hello: &ClientHello) -> (Option<&str>, Vec<&[u8]>) {
    (hello.server_name.as_ref().map(adit_domain::Hostname::as_str), hello.protocols.iter().collect())
}

#[tokio::test]
async fn real_hellos_are_read_whatever_byte_they_are_split_at() {
    for post_quantum in [false, true] {
        let bytes = from_rustls("Demo.Example.COM", &[b"h2", b"http/1.1"], post_quantum, None);
        assert_eq!(bytes.len() > 1_200, post_quantum);
        for at in 0..=bytes.len() {
            let hello = peek_parts(bytes.split_at(at)).await.unwrap();
            assert_eq!(asked(&hello), (Some("demo.example.com"), vec![&b"h2"[..], b"http/1.1"]), "{at}");
        }
    }
}

#[tokio::test]
async fn real_hellos_are_read_from_many_records() {
    for record_bytes in [32, 33, 100, 517, 1400] {
        let bytes = from_rustls("demo.example.com", &[b"adit/1"], true, Some(record_bytes));
        let hello = peek_all(&bytes).await.unwrap();
        assert!(hello.protocols.offer(b"adit/1") && !hello.protocols.offer(b"h2"));
        assert_eq!(asked(&hello).0, Some("demo.example.com"));
    }
}

#[tokio::test]
async fn records_of_one_byte_arriving_one_by_one() {
    let bytes = in_records(&body(&samples::server_name(b"a.example")), 1);
    let (near, mut far) = tokio::io::duplex(1);
    let sent = bytes.clone();
    let (outcome, ()) = tokio::join!(peek(near, soon()), async { far.write_all(&sent).await.unwrap() });
    let (hello, replay) = outcome.unwrap();
    assert_eq!(asked(&hello).0, Some("a.example"));
    assert_eq!(replay.pending(), bytes);
}

#[tokio::test]
async fn what_follows_the_hello_is_left_alone() {
    let mut bytes = in_records(&body(&[]), 4096);
    bytes.extend_from_slice(b"\x17\x03\x03\x00\x01x early data");
    assert_eq!(asked(&peek_all(&bytes).await.unwrap()), (None, vec![]));
}

#[tokio::test]
async fn a_hello_up_to_the_bound_is_read_and_not_one_byte_more() {
    for (record_bytes, total, fits) in [
        (16_384, HELLO_BYTES_MAX - 1, true),
        (16_384, HELLO_BYTES_MAX, true),
        (16_384, HELLO_BYTES_MAX + 1, false),
        (1_000, HELLO_BYTES_MAX - 1, true),
        (1_000, HELLO_BYTES_MAX, true),
        (1_000, HELLO_BYTES_MAX + 1, false),
    ] {
        let bytes = padded(total, record_bytes);
        assert_eq!(bytes.len(), total);
        let outcome = peek_all(&bytes).await;
        if fits {
            assert_eq!(asked(&outcome.unwrap()).0, Some("a.example"));
        } else {
            assert!(matches!(outcome, Err(HelloError::TooLarge)), "{total} in {record_bytes}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_size_that_cannot_fit_is_refused_at_its_announcement() {
    let record_too_long = [22, 3, 1, 0x40, 0x00];
    let message_too_long = [22, 3, 1, 0, 4, 1, 0, 0x40, 1];
    for bytes in [&record_too_long[..], &message_too_long] {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(bytes).await.unwrap();
        assert!(matches!(peek(near, soon()).await, Err(HelloError::TooLarge)));
    }
}

#[tokio::test]
async fn other_protocols_are_told_apart_at_their_first_bytes() {
    for other in
        [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", b"\x16\x02", b"\x15\x03\x01\x00\x02\x02\x28", b"\x00"]
    {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(other).await.unwrap();
        assert!(matches!(peek(near, soon()).await, Err(HelloError::NotTls)), "{other:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_or_stalls_is_told_apart() {
    let whole = in_records(&body(&[]), 4096);
    for at in 0..whole.len() {
        assert!(matches!(peek_all(&whole[..at]).await, Err(HelloError::Closed)));
    }
    let (near, _silent) = tokio::io::duplex(64);
    let at_once = Instant::now() + Duration::from_millis(10);
    assert!(matches!(peek(near, at_once).await, Err(HelloError::Deadline)));
}

#[tokio::test]
async fn malformed_hellos_are_refused() {
    let name = samples::server_name(b"a.example");
    let protocols = samples::extension(16, b"\x00\x03\x02h2");
    let cases = [
        ("two names of one type", samples::extension(0, b"\x00\x08\x00\x00\x01a\x00\x00\x01b")),
        ("two server_name extensions", [name.clone(), name].concat()),
        ("two protocol lists", [protocols.clone(), protocols].concat()),
        ("an empty host name", samples::extension(0, b"\x00\x03\x00\x00\x00")),
        ("another type of name", samples::extension(0, b"\x00\x04\x01\x00\x01a")),
        ("bytes after the name list", samples::extension(0, b"\x00\x04\x00\x00\x01ax")),
        ("no protocols", samples::extension(16, b"\x00\x00")),
        ("an empty protocol", samples::extension(16, b"\x00\x01\x00")),
        ("a protocol longer than its list", samples::extension(16, b"\x00\x02\x05h")),
        ("an extension longer than the list", vec![0, 9, 0, 5, 1]),
        ("half an extension", vec![0, 9, 0]),
    ];
    for (what, extensions) in cases {
        let outcome = peek_all(&in_records(&body(&extensions), 4096)).await;
        assert!(matches!(outcome, Err(HelloError::Malformed)), "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn malformed_records_are_refused() {
    let whole = in_records(&body(&[]), 20);
    let mut server_hello = whole.clone();
    server_hello[5] = 2;
    let mut other_second_record = whole.clone();
    other_second_record[25] = 23;
    let empty_record = [&[22, 3, 1, 0, 0][..], &whole].concat();
    for bytes in [server_hello, other_second_record, empty_record, in_records(&[1, 0, 0, 0], 10)] {
        assert!(matches!(peek_all(&bytes).await, Err(HelloError::Malformed)));
    }
}

#[tokio::test]
async fn a_name_that_is_no_host_name_names_nobody() {
    for name in [&b"127.0.0.1"[..], b"under_score.example", b"-a.example", b"\xff\xfe", b"a..b", b" "] {
        let hello = peek_all(&in_records(&body(&samples::server_name(name)), 4096)).await.unwrap();
        assert_eq!(hello.server_name, None, "{name:?}");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _answer = block_on(peek_all(&bytes));
    }

    #[test]
    fn any_body_gives_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _answer = super::parse::client_hello(&bytes);
    }

    #[test]
    fn any_extensions_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..256), record in 1_usize..300) {
        let _answer = block_on(peek_all(&in_records(&body(&bytes), record)));
    }

    /// What we route by is what the TLS stack goes by.
    #[test]
    fn a_damaged_hello_is_never_read_differently_than_rustls_does(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        post_quantum in any::<bool>(),
    ) {
        let mut bytes = from_rustls("demo.example.com", &[b"h2", b"adit/1"], post_quantum, None);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let (Ok(ours), Some((name, protocols))) = (block_on(peek_all(&bytes)), rustls_reads(&bytes)) {
            if let Some(host) = &ours.server_name {
                let theirs = name.map(|name| name.to_ascii_lowercase().trim_end_matches('.').to_owned());
                prop_assert_eq!(Some(host.as_str().to_owned()), theirs);
            }
            prop_assert_eq!(ours.protocols.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), protocols);
        }
    }
}
