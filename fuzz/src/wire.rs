//! The agent's protocol.

use adit_domain::Timestamp;
use adit_wire::capability::{AgentKey, KeyRing, MintKey, SignedCapability};
use adit_wire::control::{Decoder, Frame, encode};
use adit_wire::preface::{AGENT_PREFACE_LEN, AgentPreface, SERVER_PREFACE_LEN, ServerPreface};
use adit_wire::record::{RECORD_HEADER_LEN, RecordHeader};
use adit_wire::stream::{STREAM_HEADER_LEN, StreamHeader};

/// A preface that decodes proves nothing for a key that did not sign it.
pub fn agent_preface(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<AGENT_PREFACE_LEN>() else { return };
    let Ok((preface, possession)) = AgentPreface::decode(bytes) else { return };
    assert!(preface.version_min != 0 && preface.version_min <= preface.version_max);
    let stranger = AgentKey::from_seed(&[0xA5; 32]).public();
    assert!(possession.verify(&stranger, &[0x5A; 32]).is_err());
}

/// What decodes, encodes to something that decodes to the same.
pub fn server_preface(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<SERVER_PREFACE_LEN>() else { return };
    let Ok(preface) = ServerPreface::decode(bytes) else { return };
    assert_eq!(ServerPreface::decode(&preface.encode()), Ok(preface));
}

/// The frames are the same however the bytes are cut, and each encodes to something that decodes to it.
pub fn control(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let whole = frames(data, data.len());
    assert_eq!(frames(data, usize::from(*size)), whole);
    for frame in &whole.0 {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes).expect("a frame that was decoded can be sent");
        assert_eq!(frames(&bytes, bytes.len()), (vec![frame.clone()], None));
    }
}

fn frames(data: &[u8], size: usize) -> (Vec<Frame>, Option<String>) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for mut piece in data.chunks(size.max(1)) {
        while !piece.is_empty() {
            let taken = decoder.push(piece);
            piece = &piece[taken..];
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.to_string())),
                }
            }
        }
    }
    (frames, None)
}

/// What decodes, encodes to something that decodes to the same.
pub fn stream_header(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<STREAM_HEADER_LEN>() else { return };
    let Ok(header) = StreamHeader::decode(bytes) else { return };
    assert_eq!(StreamHeader::decode(&header.encode()), Ok(header));
}

/// What decodes is written in one way only.
pub fn record(data: &[u8]) {
    for bytes in data.chunks_exact(RECORD_HEADER_LEN) {
        let bytes = bytes.try_into().expect("the size of a header");
        if let Ok(header) = RecordHeader::decode(bytes) {
            assert_eq!(header.encode(), bytes);
        }
    }
}

/// Nobody but the holder of the key makes a capability, in no form.
pub fn capability(data: &[u8]) {
    let mut keys = KeyRing::new();
    let (_, public) = MintKey::from_seed(1, &[0xC3; 32]).public();
    (0..2).for_each(|id| keys.insert(id, public).expect("a valid key"));
    let text = std::str::from_utf8(data).unwrap_or_default();
    let both = [SignedCapability::from_slice(data), SignedCapability::from_hex(text)];
    for signed in both.into_iter().flatten() {
        assert_eq!(
            SignedCapability::from_hex(&signed.to_hex()).map(|again| *again.as_bytes()),
            Ok(*signed.as_bytes())
        );
        assert!(keys.verify(&signed, Timestamp::from_micros(1_800_000_000_000_000)).is_err());
    }
}
