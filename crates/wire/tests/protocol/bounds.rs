//! Every bound at one less, exactly, and one more.

use adit_wire::control::{BodyError, Bound, ControlError, EncodeError, Frame, encode};
use adit_wire::limits::{
    CONTROL_BODY_BYTES_MAX, CONTROL_FRAME_BYTES_MAX, DATAGRAM_BYTES_MAX, DATAGRAM_CREDIT_BYTES,
    FRAME_CREDIT_BYTES, HOST_HEADER_BYTES_MAX, HOSTNAME_BYTES_MAX, INITIAL_CREDIT_BYTES, LABEL_BYTES_MAX,
    MESSAGE_BYTES_MAX, RECORD_DATA_BYTES_MAX, URL_BYTES_MAX,
};
use adit_wire::record::{RECORD_HEADER_LEN, RecordError, RecordHeader};
use adit_wire::stream::STREAM_HEADER_LEN;

use crate::control::arrive;
use crate::{by_hand, samples};

const YAMUX_HEADER_LEN: usize = 12;
const TLS_RECORD_LEN: usize = 16_384;

#[test]
fn a_full_data_record_fills_a_tls_record() {
    assert_eq!(RECORD_DATA_BYTES_MAX + RECORD_HEADER_LEN + YAMUX_HEADER_LEN, TLS_RECORD_LEN);
}

#[test]
fn data_of_a_record() {
    for len in [1, RECORD_DATA_BYTES_MAX - 1, RECORD_DATA_BYTES_MAX] {
        let header = RecordHeader::data(len).unwrap();
        assert_eq!(header.body_len(), len);
        assert_eq!(RecordHeader::decode(header.encode()), Ok(header));
    }
    for len in [0, RECORD_DATA_BYTES_MAX + 1, usize::from(u16::MAX) + 1, usize::MAX] {
        assert_eq!(RecordHeader::data(len), Err(RecordError::Length { kind: 1, len }));
    }
}

#[test]
fn a_datagram() {
    for len in [0, 1, DATAGRAM_BYTES_MAX - 1, DATAGRAM_BYTES_MAX] {
        let header = RecordHeader::datagram(len).unwrap();
        assert_eq!(header.body_len(), len);
        assert_eq!(RecordHeader::decode(header.encode()), Ok(header));
    }
    for len in [DATAGRAM_BYTES_MAX + 1, usize::from(u16::MAX), usize::from(u16::MAX) + 1, usize::MAX] {
        assert_eq!(RecordHeader::datagram(len), Err(RecordError::Length { kind: 8, len }));
    }
}

#[test]
fn the_credit_of_a_stream_is_enough_for_its_header_and_the_largest_datagram() {
    let record = DATAGRAM_BYTES_MAX + RECORD_HEADER_LEN;
    let frames = record.div_ceil(TLS_RECORD_LEN - YAMUX_HEADER_LEN);
    assert_eq!(DATAGRAM_CREDIT_BYTES, record + frames * FRAME_CREDIT_BYTES);
    const { assert!(DATAGRAM_CREDIT_BYTES + STREAM_HEADER_LEN + FRAME_CREDIT_BYTES <= INITIAL_CREDIT_BYTES) }
}

#[test]
fn body_of_a_control_frame() {
    for len in [CONTROL_BODY_BYTES_MAX - 1, CONTROL_BODY_BYTES_MAX] {
        let mut bytes = by_hand::control_frame(99, 0, &vec![0; len]);
        assert_eq!(bytes.len(), len + 4);
        bytes.extend(by_hand::frame(&Frame::Ping { nonce: 1 }));
        assert_eq!(arrive([bytes.as_slice()]), (vec![Frame::Ping { nonce: 1 }], None));
    }
    for len in [CONTROL_BODY_BYTES_MAX + 1, usize::from(u16::MAX)] {
        let bytes = by_hand::control_frame(99, 0, &vec![0; len]);
        assert_eq!(arrive([bytes.as_slice()]), (vec![], Some(ControlError::TooLong(len))));
        let header_alone = &bytes[..4];
        assert_eq!(arrive([header_alone]), (vec![], Some(ControlError::TooLong(len))));
    }
    assert_eq!(CONTROL_FRAME_BYTES_MAX, 16_384);
}

/// Checks both directions of a text field at its bound: `make` puts a text of `n` bytes into a frame.
fn text_field(field: &'static str, bytes_max: usize, make: impl Fn(usize) -> Frame) {
    for len in [bytes_max - 1, bytes_max] {
        let mut bytes = Vec::new();
        encode(&make(len), &mut bytes).unwrap();
        assert_eq!(arrive([bytes.as_slice()]), (vec![make(len)], None), "{field} of {len} bytes");
    }
    let too_long = make(bytes_max + 1);
    let mut out = b"before".to_vec();
    assert_eq!(encode(&too_long, &mut out), Err(EncodeError::TooLong { field, bytes_max }));
    assert_eq!(out, b"before");
    let bytes = by_hand::frame(&too_long);
    let error = ControlError::Body { kind: bytes[2], source: BodyError::TooLong(field) };
    assert_eq!(arrive([bytes.as_slice()]), (vec![], Some(error)));
}

#[test]
fn label_of_a_bind() {
    text_field("label", LABEL_BYTES_MAX, |len| {
        Frame::Bind(adit_wire::control::Bind { label: "x".repeat(len), ..samples::bind() })
    });
}

#[test]
fn host_header_of_a_bind() {
    text_field("host header", HOST_HEADER_BYTES_MAX, |len| {
        Frame::Bind(adit_wire::control::Bind { host_header: "x".repeat(len), ..samples::bind() })
    });
}

#[test]
fn url_of_a_bound() {
    text_field("url", URL_BYTES_MAX, |len| Frame::Bound(Bound { url: "x".repeat(len), ..samples::bound() }));
}

#[test]
fn message_of_a_refusal() {
    text_field("message", MESSAGE_BYTES_MAX, |len| {
        Frame::BindRefused(adit_wire::control::BindRefused {
            message: "x".repeat(len),
            ..samples::bind_refused()
        })
    });
}

#[test]
fn host_name_of_a_bound() {
    let name = |len: usize| format!("{}{}", "a.".repeat((len - 1) / 2), "b".repeat(len - (len - 1) / 2 * 2));
    for len in [HOSTNAME_BYTES_MAX - 1, HOSTNAME_BYTES_MAX] {
        let frame = Frame::Bound(Bound { hostname: samples::hostname(&name(len)), ..samples::bound() });
        assert_eq!(arrive([by_hand::frame(&frame).as_slice()]), (vec![frame], None));
    }
    let mut body = by_hand::frame(&Frame::Bound(samples::bound()))[4..32].to_vec();
    let longer = name(HOSTNAME_BYTES_MAX + 1);
    body.extend(u16::try_from(longer.len()).unwrap().to_le_bytes());
    body.extend(longer.as_bytes());
    let error = ControlError::Body { kind: 2, source: BodyError::TooLong("host name") };
    assert_eq!(arrive([by_hand::control_frame(2, 0, &body).as_slice()]), (vec![], Some(error)));
}

#[test]
fn characters_that_are_not_written() {
    let refused = |message: &str| {
        let frame = Frame::BindRefused(adit_wire::control::BindRefused {
            message: message.to_owned(),
            ..samples::bind_refused()
        });
        encode(&frame, &mut Vec::new())
    };
    assert_eq!(refused("gr\u{fc}n"), Ok(()));
    for message in ["\u{1b}[2J", "two\nlines", "\u{9b}2J", "\0"] {
        assert_eq!(refused(message), Err(EncodeError::Character { field: "message" }));
    }
    let bound = Frame::Bound(Bound { url: "https://a b".to_owned(), ..samples::bound() });
    assert_eq!(encode(&bound, &mut Vec::new()), Err(EncodeError::Character { field: "url" }));
}
