//! The header of a data stream, and its records.

use adit_wire::record::{
    AbortCode, RECORD_HEADER_LEN, RecordError, RecordHeader, RecordKind, abort, abort_code,
};
use adit_wire::stream::{STREAM_HEADER_LEN, StreamHeader, StreamHeaderError, StreamKind};
use proptest::prelude::*;

use crate::{by_hand, samples, vectors};

#[test]
fn the_headers_vectors() {
    let cases = [
        (vectors::stream_header_v4(), samples::stream_header("203.0.113.9:54321", StreamKind::Http)),
        (vectors::stream_header_v6(), samples::stream_header("[2001:db8::9]:443", StreamKind::Tcp)),
        (vectors::stream_header_udp(), samples::stream_header("203.0.113.9:54321", StreamKind::Udp)),
    ];
    for (vector, header) in cases {
        let vector = vectors::exactly::<STREAM_HEADER_LEN>(&vector);
        assert_eq!(header.encode(), vector);
        assert_eq!(StreamHeader::decode(&vector), Ok(header));
    }
}

proptest! {
    #[test]
    fn headers_as_the_second_encoder(header in samples::any_stream_header()) {
        let bytes = header.encode();
        prop_assert_eq!(bytes.to_vec(), by_hand::stream_header(&header));
        prop_assert_eq!(StreamHeader::decode(&bytes), Ok(header));
    }
}

#[test]
fn a_header_of_another_version_or_kind() {
    let good = samples::stream_header("203.0.113.9:54321", StreamKind::Http).encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        StreamHeader::decode(&bytes)
    };
    assert_eq!(with(0, 0), Err(StreamHeaderError::Version(0)));
    assert_eq!(with(0, 2), Err(StreamHeaderError::Version(2)));
    assert_eq!(with(1, 1), Err(StreamHeaderError::Reserved));
    assert_eq!(with(2, 0), Err(StreamHeaderError::Kind(0)));
    assert_eq!(with(2, 5), Err(StreamHeaderError::Kind(5)));
    assert_eq!(with(3, 1), Err(StreamHeaderError::Kind(257)));
    assert_eq!(with(4, 1).unwrap().flags, 1);
}

/// What is left of the records: kind and body each.
fn read(mut bytes: &[u8]) -> Vec<(RecordKind, &[u8])> {
    let mut records = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_LEN>() {
        let header = RecordHeader::decode(*header).unwrap();
        let (body, rest) = rest.split_at(header.body_len());
        records.push((header.kind(), body));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    records
}

fn data(body: &[u8]) -> Vec<u8> {
    [RecordHeader::data(body.len()).unwrap().encode().as_slice(), body].concat()
}

#[test]
fn the_records_vectors() {
    let (first, second) = (b"GET / HTTP/1.1\r\n".as_slice(), b"host: app.tunnels.example\r\n\r\n".as_slice());
    let to_agent = vectors::records_to_agent();
    let expected = [(RecordKind::Data, first), (RecordKind::Data, second), (RecordKind::End, &[])];
    assert_eq!(read(&to_agent), expected);
    assert_eq!([data(first), data(second), RecordHeader::END.encode().to_vec()].concat(), to_agent);

    let answer = b"HTTP/1.1 200 OK\r\n".as_slice();
    let [accepted, dialled] =
        [RecordHeader::ACCEPTED, RecordHeader::DIALLED].map(|header| header.encode().to_vec());
    let aborted = abort(AbortCode::UpstreamBroken).to_vec();
    assert_eq!([accepted.clone(), dialled, data(answer), aborted].concat(), vectors::records_from_agent());
    assert_eq!(abort_code([2, 0, 0, 0]), AbortCode::UpstreamBroken);

    let refused = RecordHeader::REFUSED.encode().to_vec();
    assert_eq!([accepted.clone(), refused].concat(), vectors::records_refused());
    let timed_out = RecordHeader::TIMED_OUT.encode().to_vec();
    assert_eq!([accepted, timed_out].concat(), vectors::records_timed_out());
}

#[test]
fn the_vector_of_datagrams() {
    let (first, second) = ([0x12, 0x34, 0x81, 0x80].as_slice(), [0_u8; 0].as_slice());
    let datagrams = [first, second]
        .map(|body| [RecordHeader::datagram(body.len()).unwrap().encode().as_slice(), body].concat());
    let [accepted, dialled] =
        [RecordHeader::ACCEPTED, RecordHeader::DIALLED].map(|header| header.encode().to_vec());
    let vector = vectors::records_datagrams();
    assert_eq!([accepted, dialled, datagrams.concat(), abort(AbortCode::Idle).to_vec()].concat(), vector);
    let expected = [
        (RecordKind::Accepted, [].as_slice()),
        (RecordKind::Dialled, &[]),
        (RecordKind::Datagram, first),
        (RecordKind::Datagram, second),
        (RecordKind::Abort, &[7, 0, 0, 0]),
    ];
    assert_eq!(read(&vector), expected);
}

/// All 2^32 headers follow from these: every kind, with and without the reserved byte, at every length.
#[test]
fn a_header_decodes_exactly_if_its_rules_hold() {
    for kind in 0..=u8::MAX {
        for len in 0..=u16::MAX {
            let [low, high] = len.to_le_bytes();
            let bytes = [kind, 0, low, high];
            let allowed = match kind {
                1 => (1..=16_368).contains(&len),
                3 => len == 4,
                2 | 4..=7 => len == 0,
                8 => len <= 65_507,
                _ => false,
            };
            match RecordHeader::decode(bytes) {
                Ok(header) => assert!(allowed && header.encode() == bytes, "{bytes:?}"),
                Err(RecordError::Kind(of)) => assert!(of == kind && !(1..=8).contains(&kind)),
                Err(RecordError::Length { .. }) => assert!(!allowed, "{bytes:?}"),
                Err(RecordError::Reserved) => panic!("{bytes:?}"),
            }
        }
        for reserved in 1..=u8::MAX {
            assert!(RecordHeader::decode([kind, reserved, 0, 0]).is_err());
        }
    }
    assert_eq!(RecordHeader::decode([1, 1, 1, 0]), Err(RecordError::Reserved));
}

#[test]
fn abort_codes_that_have_no_meaning_yet_are_kept() {
    assert_eq!(abort_code(77_u32.to_le_bytes()), AbortCode::Unknown(77));
    for code in AbortCode::ALL {
        assert_eq!(abort_code(code.code().to_le_bytes()), *code);
    }
}
