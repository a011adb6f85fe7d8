//! A look at the yamux frames that pass, in both directions: just enough to see what yamux does not tell.

use crate::limits::FRAME_HEADER_BYTES;

const FLAG_SYN: u8 = 1;
const FLAG_ACK: u8 = 2;
const FLAG_RST: u8 = 8;

/// The header of a frame, as far as it is of interest here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: Tag,
    flags: u8,
    pub(crate) id: u32,
    /// Of the body; of other frames than *data* it is a number with another meaning.
    pub(crate) length: u32,
}

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Data,
    WindowUpdate,
    Ping,
    GoAway,
    /// yamux will refuse it.
    Other,
}

impl Head {
    pub(crate) fn is_syn(self) -> bool {
        self.flags & FLAG_SYN != 0
    }

    pub(crate) fn is_ack(self) -> bool {
        self.flags & FLAG_ACK != 0
    }

    pub(crate) fn is_reset(self) -> bool {
        self.flags & FLAG_RST != 0 && matches!(self.tag, Tag::Data | Tag::WindowUpdate)
    }
}

/// Follows one direction of the connection across reads of any size.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; FRAME_HEADER_BYTES],
    header_bytes: usize,
    body_bytes_left: usize,
}

impl Frames {
    /// Takes the next bytes and shows each header that they complete.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], mut show: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let skipped = self.body_bytes_left.min(bytes.len());
            self.body_bytes_left = self.body_bytes_left.saturating_sub(skipped);
            bytes = bytes.get(skipped..).unwrap_or_default();
            bytes = self.fill_header(bytes);
            if self.header_bytes == FRAME_HEADER_BYTES {
                self.header_bytes = 0;
                show(self.end_of_header());
            }
        }
    }

    fn fill_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.header.get_mut(self.header_bytes..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.header_bytes = self.header_bytes.saturating_add(taken);
        bytes.get(taken..).unwrap_or_default()
    }

    fn end_of_header(&mut self) -> Head {
        let [_version, tag, _, flags, i0, i1, i2, i3, l0, l1, l2, l3] = self.header;
        let id = u32::from_be_bytes([i0, i1, i2, i3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let tag = match tag {
            0 => Tag::Data,
            1 => Tag::WindowUpdate,
            2 => Tag::Ping,
            3 => Tag::GoAway,
            _ => Tag::Other,
        };
        if tag == Tag::Data {
            self.body_bytes_left = usize::try_from(length).unwrap_or(usize::MAX);
        }
        Head { tag, flags, id, length }
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, Head, Tag};

    fn frame(tag: u8, flags: u8, id: u32, length: u32) -> Vec<u8> {
        let mut bytes = vec![0, tag, 0, flags];
        bytes.extend(id.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes
    }

    #[test]
    fn what_is_seen_does_not_depend_on_how_bytes_are_cut() {
        let mut bytes = frame(0, 1, 2, 30);
        bytes.extend([8; 30]);
        bytes.extend(frame(1, 0, 2, 4096));
        bytes.extend(frame(2, 8, 0, 7));
        bytes.extend(frame(0, 8, 2, 0));
        bytes.extend(frame(1, 2, 4, 0));
        bytes.extend(frame(3, 0, 0, 1));
        bytes.extend(frame(9, 0, 0, 1));
        let head = |tag, flags, id, length| Head { tag, flags, id, length };
        let expected = [
            head(Tag::Data, 1, 2, 30),
            head(Tag::WindowUpdate, 0, 2, 4096),
            head(Tag::Ping, 8, 0, 7),
            head(Tag::Data, 8, 2, 0),
            head(Tag::WindowUpdate, 2, 4, 0),
            head(Tag::GoAway, 0, 0, 1),
            head(Tag::Other, 0, 0, 1),
        ];
        assert_eq!(expected.map(Head::is_reset), [false, false, false, true, false, false, false]);
        for size in 1..=bytes.len() {
            let mut heads = Vec::new();
            let mut frames = Frames::default();
            for part in bytes.chunks(size) {
                frames.pass(part, |head| heads.push(head));
            }
            assert_eq!(heads, expected, "cut by {size}");
        }
    }
}
