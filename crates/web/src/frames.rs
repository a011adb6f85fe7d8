//! The heads of HTTP/2 frames as they pass (RFC 9113 section 4.1); what they carry is skipped.

/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;

/// DATA, RFC 9113 section 6.1.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// The flag of an answer to SETTINGS or PING; on DATA and HEADERS the same bit ends the stream.
const FLAG_ACK: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;
const FLAG_PADDED: u8 = 8;

/// The peer asks for too much work, RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The bit beside a stream's id that means nothing.
const STREAM_ID_MASK: u32 = 0x7fff_ffff;

/// A GOAWAY that says so (RFC 9113 section 6.8). Streams above `last` were not acted on.
pub(crate) fn enhance_your_calm(last: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last.to_be_bytes());
    frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frame
}

/// What a frame's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) body_bytes: u32,
    flags: u8,
}

impl Head {
    /// Whether the frame answers one of ours.
    pub(crate) fn is_ack(self) -> bool {
        matches!(self.kind, SETTINGS | PING) && self.flags & FLAG_ACK != 0
    }

    /// Whether only a CONTINUATION may come next (RFC 9113 section 6.10).
    const fn is_continued(self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & FLAG_END_HEADERS == 0
    }

    /// Whether a DATA frame neither ends its stream nor is sure to bring a byte: empty, or short enough to be padding.
    pub(crate) fn is_idle_talk(self) -> bool {
        let padding_bytes_max = if self.flags & FLAG_PADDED == 0 { 0 } else { 256 };
        self.kind == DATA && self.flags & FLAG_ACK == 0 && self.body_bytes <= padding_bytes_max
    }
}

/// Follows one direction of a connection.
pub(crate) struct Frames {
    head: [u8; HEAD_BYTES],
    have: usize,
    /// Bytes to skip before the next head.
    skip: u32,
    is_in_headers: bool,
}

impl Frames {
    /// `skip`: bytes before the first frame.
    pub(crate) fn after(skip: u32) -> Self {
        Self { head: [0; HEAD_BYTES], have: 0, skip, is_in_headers: false }
    }

    /// Whether a frame of any kind may come next: all that has begun is whole, headers with their continuations.
    pub(crate) const fn is_between(&self) -> bool {
        self.have == 0 && self.skip == 0 && !self.is_in_headers
    }

    /// Tells of each head that `bytes` complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut told: impl FnMut(Head)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip = self.skip.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let room = self.head.get_mut(self.have..).unwrap_or_default();
            let taken = room.len().min(bytes.len());
            for (slot, byte) in room.iter_mut().zip(bytes) {
                *slot = *byte;
            }
            self.have = self.have.saturating_add(taken);
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.have == HEAD_BYTES {
                let [high, middle, low, kind, flags, stream @ ..] = self.head;
                let body_bytes = u32::from_be_bytes([0, high, middle, low]);
                let stream = u32::from_be_bytes(stream) & STREAM_ID_MASK;
                (self.have, self.skip) = (0, body_bytes);
                let head = Head { kind, stream, body_bytes, flags };
                self.is_in_headers = head.is_continued();
                told(head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DATA, Frames, HEADERS, Head, PING};

    #[test]
    fn heads_are_found_in_any_pieces() {
        let mut bytes = b"preface".to_vec();
        bytes.extend_from_slice(b"\0\0\x03\0\0\0\0\0\x01abc");
        // The reserved bit before the id is not part of it.
        bytes.extend_from_slice(b"\0\0\0\x01\x05\x80\0\0\x03");
        bytes.extend_from_slice(b"\0\0\x08\x06\x01\0\0\0\x0012345678");
        bytes.extend_from_slice(b"\0\0\0\0\0\0\0\0\x01");
        let wanted = [(DATA, 1, 3, 0), (HEADERS, 3, 0, 5), (PING, 0, 8, 1), (DATA, 1, 0, 0)]
            .map(|(kind, stream, body_bytes, flags)| Head { kind, stream, body_bytes, flags });
        for pieces in 1..bytes.len() {
            let (mut frames, mut heads) = (Frames::after(7), Vec::new());
            assert!(!frames.is_between(), "what comes before the first frame");
            for piece in bytes.chunks(pieces) {
                frames.feed(piece, |head| heads.push(head));
            }
            assert_eq!(heads, wanted, "{pieces}");
            assert!(frames.is_between());
            frames.feed(b"\0", |_| {});
            assert!(!frames.is_between());
        }
    }

    #[test]
    fn between_headers_and_their_continuation_is_no_place_for_a_frame() {
        let mut frames = Frames::after(0);
        for (head, wanted) in [
            (b"\0\0\0\x01\x04\0\0\0\x01", true),
            (b"\0\0\0\x01\x01\0\0\0\x03", false),
            (b"\0\0\0\x09\0\0\0\0\x03", false),
            (b"\0\0\0\x09\x04\0\0\0\x03", true),
            (b"\0\0\0\0\0\0\0\0\x03", true),
        ] {
            frames.feed(head, |_| {});
            assert_eq!(frames.is_between(), wanted, "{head:?}");
        }
    }

    #[test]
    fn data_that_may_bring_nothing_is_idle_talk() {
        for (kind, body_bytes, flags, wanted) in [
            (DATA, 0, 0, true),
            (DATA, 1, 0, false),
            (DATA, 0, 1, false),
            (DATA, 255, 8, true),
            (DATA, 256, 8, true),
            (DATA, 257, 8, false),
            (DATA, 9, 9, false),
            (HEADERS, 0, 0, false),
        ] {
            let head = Head { kind, stream: 1, body_bytes, flags };
            assert_eq!(head.is_idle_talk(), wanted, "{head:?}");
        }
    }
}
