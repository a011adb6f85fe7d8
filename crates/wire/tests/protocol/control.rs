//! Control frames and the decoder that cuts them out of a stream.

use adit_wire::control::{
    BindRefusal, BodyError, ControlError, Decoder, DrainReason, Frame, GoodbyeReason, UnbindReason, encode,
};
use adit_wire::limits::CONTROL_FRAME_BYTES_MAX;
use adit_wire::preface::Status;
use proptest::prelude::*;

use crate::{by_hand, samples, vectors};

fn written(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    encode(frame, &mut out).unwrap();
    out
}

/// Everything that comes out when the bytes arrive in these pieces: frames, and how it ended.
pub fn arrive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<ControlError>) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = decoder.push(piece);
            assert!((1..=piece.len()).contains(&taken), "the decoder is stuck");
            piece = &piece[taken..];
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
    }
    (frames, None)
}

fn decoded(bytes: &[u8]) -> Result<Frame, ControlError> {
    let (mut frames, error) = arrive([bytes]);
    error.map_or_else(|| Ok(frames.remove(0)), Err)
}

fn body_error(bytes: &[u8]) -> BodyError {
    match decoded(bytes) {
        Err(ControlError::Body { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_vectors() {
    let nonce = 0x1122_3344_5566_7788;
    let capability = samples::mint_key().sign(&samples::capability());
    let cases = [
        (vectors::bind(), Frame::Bind(samples::bind())),
        (vectors::bind_tcp(), Frame::Bind(samples::bind_tcp())),
        (vectors::bind_udp(), Frame::Bind(samples::bind_udp())),
        (vectors::bind_default(), Frame::Bind(samples::bind_default())),
        (vectors::bind_pooled(), Frame::Bind(samples::bind_pooled())),
        (vectors::bound(), Frame::Bound(samples::bound())),
        (vectors::bind_refused(), Frame::BindRefused(samples::bind_refused())),
        (vectors::unbind(), Frame::Unbind(samples::unbind())),
        (vectors::ping(), Frame::Ping { nonce }),
        (vectors::pong(), Frame::Pong { nonce }),
        (vectors::drain(), Frame::Drain { reason: DrainReason::WornOut, deadline_ms: 30_000 }),
        (vectors::refresh(), Frame::Refresh { request: 3 }),
        (vectors::refreshed(), Frame::Refreshed { request: 3, capability }),
        (
            vectors::refresh_refused(),
            Frame::RefreshRefused { request: 3, status: Status::Overloaded, retry_after_ms: 60_000 },
        ),
        (vectors::goodbye(), Frame::Goodbye { reason: GoodbyeReason::Draining, retry_after_ms: 1_000 }),
    ];
    for (vector, frame) in cases {
        assert_eq!(written(&frame), vector, "{frame:?}");
        assert_eq!(decoded(&vector), Ok(frame));
    }
}

#[test]
fn unknown_frames_are_skipped_unless_critical() {
    let ping = Frame::Ping { nonce: 0x1122_3344_5566_7788 };
    assert_eq!(arrive([vectors::unknown().as_slice()]), (vec![ping.clone()], None));
    let mut bytes = written(&ping);
    bytes.extend(vectors::unknown_critical());
    bytes.extend(written(&ping));
    assert_eq!(arrive([bytes.as_slice()]), (vec![ping], Some(ControlError::UnknownCritical(200))));
}

#[test]
fn the_flags_of_known_frames_and_unknown_flags_are_ignored() {
    let mut bytes = written(&Frame::Ping { nonce: 1 });
    bytes[3] = 0xff;
    assert_eq!(decoded(&bytes), Ok(Frame::Ping { nonce: 1 }));
    let skipped = by_hand::control_frame(99, 0xfe, b"?");
    assert_eq!(arrive([skipped.as_slice()]), (vec![], None));
}

#[test]
fn a_failure_lasts() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.push(&vectors::unknown_critical()), 8);
    let failure = Err(ControlError::UnknownCritical(200));
    assert_eq!(decoder.next(), failure);
    assert_eq!(decoder.push(&vectors::ping()), vectors::ping().len());
    assert_eq!(decoder.next(), failure);
}

#[test]
fn the_decoder_holds_one_frame_at_most() {
    let flood = vec![0; 10 * CONTROL_FRAME_BYTES_MAX];
    let mut decoder = Decoder::new();
    assert_eq!(decoder.push(&flood), CONTROL_FRAME_BYTES_MAX);
    assert_eq!(decoder.push(&flood), 0);
}

proptest! {
    #[test]
    fn frames_as_the_second_encoder(frame in samples::any_frame()) {
        let bytes = written(&frame);
        prop_assert_eq!(&bytes, &by_hand::frame(&frame));
        prop_assert_eq!(decoded(&bytes), Ok(frame));
    }

    #[test]
    fn any_split_gives_the_same_frames(
        frames in proptest::collection::vec(samples::any_frame(), 0..8),
        strange in proptest::collection::vec(any::<u8>(), 0..64),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        for frame in &frames {
            bytes.extend(by_hand::control_frame(77, 0, &strange));
            bytes.extend(written(frame));
        }
        bytes.extend(&strange);
        let whole = arrive([bytes.as_slice()]);
        prop_assert_eq!(&whole.0[..frames.len()], frames.as_slice());
        prop_assert_eq!(&arrive(bytes.chunks(1)), &whole);
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        let pieces = ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(arrive(pieces), whole);
    }

    #[test]
    fn a_body_of_another_length_is_refused(frame in samples::any_frame(), by in 1_usize..32) {
        let bytes = written(&frame);
        let (kind, body) = (bytes[2], &bytes[4..]);
        let shorter = by_hand::control_frame(kind, 0, &body[..body.len().saturating_sub(by)]);
        prop_assert_eq!(body_error(&shorter), BodyError::Short);
        let longer = by_hand::control_frame(kind, 0, &[body, &vec![0; by]].concat());
        prop_assert_eq!(body_error(&longer), BodyError::Long);
    }
}

#[test]
fn every_beginning_of_a_stream_waits_for_more() {
    let bytes = vectors::bind();
    for len in 0..bytes.len() {
        assert_eq!(arrive([&bytes[..len]]), (vec![], None), "{len} bytes");
    }
}

/// The body of a bind up to its texts.
fn bind_block(kind: u16) -> Vec<u8> {
    let mut block = by_hand::frame(&Frame::Bind(samples::bind()))[4..42].to_vec();
    block[4..6].copy_from_slice(&kind.to_le_bytes());
    block
}

fn bind_with(kind: u16, texts: [&[u8]; 3]) -> Vec<u8> {
    let body = bind_block(kind);
    by_hand::control_frame(1, 0, &with_texts(body, texts))
}

fn with_texts(mut body: Vec<u8>, texts: [&[u8]; 3]) -> Vec<u8> {
    for text in texts {
        body.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        body.extend(text);
    }
    body
}

#[test]
fn texts_that_are_refused() {
    let cases: [(&[u8], &[u8], BodyError); 9] = [
        (b"a b", b"", BodyError::Character("host name")),
        (b"\xff", b"", BodyError::Character("host name")),
        ("b\u{fc}cher.example".as_bytes(), b"", BodyError::Character("host name")),
        (b"UPPER.example", b"", BodyError::Hostname),
        (b"dot.example.", b"", BodyError::Hostname),
        (b"127.0.0.1", b"", BodyError::Hostname),
        (b"", b"\x1b[31m", BodyError::Character("label")),
        (b"", "\u{9b}31m".as_bytes(), BodyError::Character("label")),
        (b"", b"\xc3", BodyError::Character("label")),
    ];
    for (hostname, label, expected) in cases {
        assert_eq!(body_error(&bind_with(1, [hostname, label, b""])), expected, "{hostname:?} {label:?}");
    }
    for host_header in [&b"a b"[..], b"a\r\nb", "b\u{fc}cher".as_bytes()] {
        let expected = BodyError::Character("host header");
        assert_eq!(body_error(&bind_with(1, [b"", b"", host_header])), expected, "{host_header:?}");
    }
}

#[test]
fn pooling_without_a_meaning() {
    for (balance, sticky, field, value) in
        [(4, 0, "balance", 4), (255, 1, "balance", 255), (1, 3, "sticky", 3), (0, 1, "sticky", 1)]
    {
        let mut bytes = by_hand::frame(&Frame::Bind(samples::bind()));
        bytes[38..40].copy_from_slice(&[balance, sticky]);
        assert_eq!(body_error(&bytes), BodyError::Unknown { field, value });
    }
}

#[test]
fn handling_without_a_meaning() {
    for (reuse, retry, field, value) in
        [(2, 0, "reuse", 2), (255, 1, "reuse", 255), (0, 2, "retry", 2), (1, 255, "retry", 255)]
    {
        let mut bytes = by_hand::frame(&Frame::Bind(samples::bind()));
        bytes[40..42].copy_from_slice(&[reuse, retry]);
        assert_eq!(body_error(&bytes), BodyError::Unknown { field, value });
    }
}

#[test]
fn an_endpoint_kind_without_a_meaning() {
    for value in [0, 5, 0x0101, u16::MAX] {
        let expected = BodyError::Unknown { field: "endpoint kind", value };
        assert_eq!(body_error(&bind_with(value, [b"", b"x", b""])), expected);
    }
}

#[test]
fn an_upstream_protocol_without_a_meaning() {
    for value in [0, 4, 0x0101, u16::MAX] {
        let mut block = bind_block(1);
        block[32..34].copy_from_slice(&value.to_le_bytes());
        let frame = by_hand::control_frame(1, 0, &with_texts(block, [b"", b"x", b""]));
        assert_eq!(body_error(&frame), BodyError::Unknown { field: "upstream protocol", value });
    }
}

/// The tables of `docs/protocol.md`.
#[test]
fn reasons_and_what_they_ask_of_the_agent() {
    let stops: Vec<_> = BindRefusal::ALL.iter().filter(|r| r.is_permanent()).map(|r| r.code()).collect();
    assert_eq!(stops, [1, 2, 3, 4, 5, 6, 8]);
    let exchanges: Vec<_> =
        GoodbyeReason::ALL.iter().filter(|r| r.wants_new_capability()).map(|r| r.code()).collect();
    assert_eq!(exchanges, [3, 4]);
    assert!(!BindRefusal::from_code(99).is_permanent());
    assert!(!GoodbyeReason::from_code(99).wants_new_capability());
    assert_eq!(UnbindReason::from_code(99), UnbindReason::Unknown(99));
    for reason in UnbindReason::ALL {
        assert_eq!(UnbindReason::from_code(reason.code()), *reason);
    }
}
