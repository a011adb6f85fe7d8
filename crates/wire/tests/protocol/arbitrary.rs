//! Hostile bytes: whatever comes, every decoder answers.

use adit_wire::capability::{AgentPublicKey, SignedCapability};
use adit_wire::preface::{AGENT_PREFACE_LEN, AgentPreface, SERVER_PREFACE_LEN, ServerPreface};
use adit_wire::record::RecordHeader;
use adit_wire::stream::{STREAM_HEADER_LEN, StreamHeader};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::control::arrive;
use crate::{by_hand, samples, vectors};

proptest! {
    #[test]
    fn prefaces(bytes in vec(any::<u8>(), AGENT_PREFACE_LEN)) {
        let mut agent = vectors::exactly::<AGENT_PREFACE_LEN>(&bytes);
        let mut server = vectors::exactly::<SERVER_PREFACE_LEN>(&bytes[..SERVER_PREFACE_LEN]);
        let _ = AgentPreface::decode(&agent);
        let _ = ServerPreface::decode(&server);
        agent[..8].copy_from_slice(b"ADITAGNT");
        server[..8].copy_from_slice(b"ADITNODE");
        if let Ok((_, possession)) = AgentPreface::decode(&agent) {
            prop_assert!(possession.verify(&samples::agent_key().public(), &samples::EXPORTER).is_err());
        }
        prop_assert!(ServerPreface::decode(&server).is_ok());
    }

    #[test]
    fn stream_headers(bytes in vec(any::<u8>(), STREAM_HEADER_LEN), kind in 0_u8..6) {
        let mut bytes = vectors::exactly::<STREAM_HEADER_LEN>(&bytes);
        let _ = StreamHeader::decode(&bytes);
        bytes[..4].copy_from_slice(&[1, 0, kind, 0]);
        prop_assert_eq!(StreamHeader::decode(&bytes).is_ok(), (1..=4).contains(&kind));
    }

    #[test]
    fn record_headers(bytes in any::<[u8; 4]>()) {
        if let Ok(header) = RecordHeader::decode(bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn keys_and_capabilities_as_text(text in "\\PC{0,80}|[0-9a-fA-F]{64}|[0-9a-f]{384}") {
        let _ = AgentPublicKey::from_hex(&text);
        let _ = SignedCapability::from_hex(&text);
    }

    #[test]
    fn control_streams(bytes in vec(any::<u8>(), 0..2_048), cut in any::<proptest::sample::Index>()) {
        let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(arrive([left, right]), arrive([bytes.as_slice()]));
    }

    #[test]
    fn bodies_of_known_frames(kind in 1_u8..12, body in vec(any::<u8>(), 0..400)) {
        let bytes = by_hand::control_frame(kind, 0, &body);
        if let (frames, None) = arrive([bytes.as_slice()]) {
            prop_assert_eq!(by_hand::frame(&frames[0]), bytes);
        }
    }

    #[test]
    fn frames_with_some_bytes_changed(
        frame in samples::any_frame(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = by_hand::frame(&frame);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(arrive(bytes.chunks(1)), arrive([bytes.as_slice()]));
    }
}
