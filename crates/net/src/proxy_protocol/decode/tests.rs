#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use proptest::prelude::*;

use super::{HeaderError, Progress, SIGNATURE, Source, crc32c, decode};
use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};
use crate::proxy_protocol::{ProxyVersion, header, without_visitor};

/// As a reader does it: never more than is needed.
fn feed(bytes: &[u8]) -> Result<(Source, usize), Option<HeaderError>> {
    let mut taken = 0;
    loop {
        match decode(&bytes[..taken]).map_err(Some)? {
            Progress::Whole(source) => return Ok((source, taken)),
            // What needs nothing and is not whole would never be.
            Progress::Needs(more) if more == 0 || taken + more > bytes.len() => return Err(None),
            Progress::Needs(more) => taken += more,
        }
    }
}

fn from(text: &str) -> Source {
    Source::Visitor(text.parse().unwrap())
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, body].concat()
}

/// 192.0.2.7:258 to 127.0.0.1:443, and fields.
fn v4_with(fields: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&[192, 0, 2, 7, 127, 0, 0, 1, 1, 2, 1, 187], fields].concat())
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

#[test]
fn lines() {
    let cases = [
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", Ok(from("192.168.0.1:56324"))),
        ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", Ok(from("[2001:db8::1]:0"))),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", Ok(from("192.0.2.7:1"))),
        ("PROXY TCP4 0.0.0.0 127.0.0.1 0 0\r\n", Ok(Source::Unknown)),
        ("PROXY UNKNOWN\r\n", Ok(Source::Unknown)),
        ("PROXY UNKNOWN ffff::1 what ever 1 2\r\n", Ok(Source::Unknown)),
        ("PROXY\r\n        ", Err(HeaderError::Surplus)),
        ("PROXY TCP4 192.0.2.7 127.0.0.1 1 2 3\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 192.0.2.7 127.0.0.1 1\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4  192.0.2.7 127.0.0.1 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP6 127.0.0.1 127.0.0.1 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 192.0.2.07 127.0.0.1 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 192.0.2.7 127.0.0.1 01 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 192.0.2.7 127.0.0.1 +1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 192.0.2.7 127.0.0.1 65536 2\r\n", Err(HeaderError::Line)),
        ("PROXY UDP4 192.0.2.7 127.0.0.1 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY UNKNOWNED\r\n", Err(HeaderError::Line)),
        ("PROXYTCP4 192.0.2.7 127.0.0.1 1 2\r\n", Err(HeaderError::Line)),
        ("GET / HTTP/1.1\r\n", Err(HeaderError::NotProxy)),
        ("proxy UNKNOWN\r\n", Err(HeaderError::NotProxy)),
        ("\u{16}\u{3}\u{1}", Err(HeaderError::NotProxy)),
    ];
    for (text, expected) in cases {
        let whole = expected.map(Progress::Whole);
        assert_eq!(decode(text.as_bytes()), whole, "{text:?}");
    }
}

#[test]
fn a_line_ends_within_its_bound() {
    for (length, expected) in [
        (PROXY_LINE_BYTES_MAX - 1, Ok((Source::Unknown, PROXY_LINE_BYTES_MAX - 1))),
        (PROXY_LINE_BYTES_MAX, Ok((Source::Unknown, PROXY_LINE_BYTES_MAX))),
        (PROXY_LINE_BYTES_MAX + 1, Err(Some(HeaderError::LineTooLong))),
        (10_000, Err(Some(HeaderError::LineTooLong))),
    ] {
        let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(feed(line.as_bytes()), expected, "{length}");
    }
}

#[test]
fn binaries() {
    let whole = |source| Ok(Progress::Whole(source));
    let v6 = [&[0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 16], &[1, 2, 0, 22]].concat();
    let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 7], &[0; 16], &[1, 2, 0, 22]].concat();
    let cases = [
        (v4_with(&[]), whole(from("192.0.2.7:258"))),
        (v4_with(&field(0x04, b"")), whole(from("192.0.2.7:258"))),
        (
            v4_with(&[field(0x02, b"a.example"), field(0xea, &[1; 300])].concat()),
            whole(from("192.0.2.7:258")),
        ),
        (v2(0x21, 0x21, &v6), whole(from("[2001:db8::1]:258"))),
        (v2(0x21, 0x21, &mapped), whole(from("192.0.2.7:258"))),
        (v2(0x21, 0x11, &[0; 12]), whole(Source::Unknown)),
        (v2(0x20, 0x00, &[]), whole(Source::Unknown)),
        (v2(0x20, 0x11, &[7; 12]), whole(Source::Unknown)),
        (v2(0x20, 0x99, b"whatever"), whole(Source::Unknown)),
        (v2(0x21, 0x00, b"whatever"), whole(Source::Unknown)),
        (v2(0x21, 0x31, &[0; 216]), whole(Source::Unknown)),
        (v2(0x21, 0x31, &[0; 215]), Err(HeaderError::Short)),
        (v2(0x21, 0x11, &[7; 11]), Err(HeaderError::Short)),
        (v2(0x21, 0x21, &[7; 35]), Err(HeaderError::Short)),
        (v2(0x21, 0x12, &[7; 12]), Err(HeaderError::Family(0x12))),
        (v2(0x21, 0x41, &[7; 12]), Err(HeaderError::Family(0x41))),
        (v2(0x22, 0x11, &[7; 12]), Err(HeaderError::Command(0x22))),
        (v2(0x11, 0x11, &[7; 12]), Err(HeaderError::Command(0x11))),
        (v4_with(&[4, 0]), Err(HeaderError::Fields)),
        (v4_with(&[4, 0, 1]), Err(HeaderError::Fields)),
        (v4_with(&field(0x03, &[0; 3])), Err(HeaderError::Fields)),
        ([v4_with(&[]), vec![0]].concat(), Err(HeaderError::Surplus)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(&bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn a_binary_ends_within_its_bound() {
    let padded = |total: usize| v4_with(&field(0x04, &vec![0; total - 16 - 12 - 3]));
    let visitor = from("192.0.2.7:258");
    for total in [PROXY_HEADER_BYTES_MAX - 1, PROXY_HEADER_BYTES_MAX] {
        assert_eq!(feed(&padded(total)), Ok((visitor, total)));
    }
    assert_eq!(feed(&padded(PROXY_HEADER_BYTES_MAX + 1)), Err(Some(HeaderError::TooLong)));
    // Known from the first 16 bytes, whatever it claims.
    assert_eq!(decode(&[&SIGNATURE[..], &[0x21, 0x11, 255, 255]].concat()), Err(HeaderError::TooLong));
}

#[test]
fn a_checksum_is_checked_where_there_is_one() {
    let fields = [field(0x04, &[9; 5]), field(0x03, &[0; 4]), field(0x02, b"a.example")].concat();
    let mut bytes = v4_with(&fields);
    let at = 16 + 12 + 8 + 3;
    let sum = crc32c([&bytes[..]]).to_be_bytes();
    bytes[at..at + 4].copy_from_slice(&sum);
    assert_eq!(decode(&bytes), Ok(Progress::Whole(from("192.0.2.7:258"))));
    // Of every byte but those that make it another header: the signature, the command, the family, lengths and types.
    for flipped in (16..28).chain(31..36).chain(at..at + 4).chain(at + 7..bytes.len()) {
        let mut wrong = bytes.clone();
        wrong[flipped] ^= 1;
        assert_eq!(decode(&wrong), Err(HeaderError::Checksum), "{flipped}");
    }
}

#[test]
fn what_we_write_is_read() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        for source in ["192.0.2.7:1", "[2001:db8::1]:65535"] {
            let bytes = header(version, source.parse().unwrap(), "127.0.0.1:443".parse().unwrap());
            assert_eq!(feed(&bytes), Ok((from(source), bytes.len())));
        }
        let bytes = without_visitor(version);
        assert_eq!(feed(&bytes), Ok((Source::Unknown, bytes.len())));
    }
}

proptest! {
    #[test]
    fn every_beginning_of_a_header_needs_more_of_it(
        fields in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..5),
        is_line in any::<bool>(),
    ) {
        let fields: Vec<u8> =
            fields.iter().filter(|(kind, _)| *kind != 0x03).flat_map(|(kind, value)| field(*kind, value)).collect();
        let bytes = if is_line { b"PROXY TCP4 192.0.2.7 127.0.0.1 258 443\r\n".to_vec() } else { v4_with(&fields) };
        for at in 0..bytes.len() {
            match decode(&bytes[..at]) {
                Ok(Progress::Needs(more)) => prop_assert!(more > 0 && at + more <= bytes.len()),
                other => prop_assert!(false, "{other:?} after {at} bytes"),
            }
        }
        prop_assert_eq!(decode(&bytes), Ok(Progress::Whole(from("192.0.2.7:258"))));
        prop_assert_eq!(feed(&[&bytes[..], b"GET /"].concat()), Ok((from("192.0.2.7:258"), bytes.len())));
    }

    #[test]
    fn any_bytes_give_an_answer(start in 0_usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let start: &[u8] = [&b""[..], b"PROXY ", &SIGNATURE][start];
        let _answer = feed(&[start, &bytes].concat());
        let _answer = decode(&[start, &bytes].concat());
    }
}
