//! A look at the yamux frames that pass, in both directions: just enough to see what yamux does not tell.

use crate::limits::{FRAME_BODY_BYTES_TAKEN_MAX, FRAME_HEADER_BYTES};

const TAG_DATA: u8 = 0;
const TAG_GO_AWAY: u8 = 3;
const FLAG_RST: u8 = 8;

/// Something that yamux keeps to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// `GoAway` with its code.
    GoAway(u32),
    /// The stream with this id is reset.
    Reset(u32),
}

/// A frame announces more than [`FRAME_BODY_BYTES_TAKEN_MAX`]; yamux would allocate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("frame body too large")]
pub(crate) struct FrameTooLarge;

/// Follows one direction of the connection across reads of any size.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; FRAME_HEADER_BYTES],
    header_bytes: usize,
    body_bytes_left: usize,
}

impl Frames {
    /// Takes the next bytes and tells what is in them.
    pub(crate) fn pass(
        &mut self,
        mut bytes: &[u8],
        mut tell: impl FnMut(Sight),
    ) -> Result<(), FrameTooLarge> {
        while !bytes.is_empty() {
            let skipped = self.body_bytes_left.min(bytes.len());
            self.body_bytes_left = self.body_bytes_left.saturating_sub(skipped);
            bytes = bytes.get(skipped..).unwrap_or_default();
            bytes = self.fill_header(bytes);
            if self.header_bytes == FRAME_HEADER_BYTES {
                self.header_bytes = 0;
                if let Some(sight) = self.end_of_header()? {
                    tell(sight);
                }
            }
        }
        Ok(())
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

    fn end_of_header(&mut self) -> Result<Option<Sight>, FrameTooLarge> {
        let [_version, tag, _, flags, i0, i1, i2, i3, l0, l1, l2, l3] = self.header;
        let id = u32::from_be_bytes([i0, i1, i2, i3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        match tag {
            TAG_GO_AWAY => return Ok(Some(Sight::GoAway(length))),
            TAG_DATA => {
                let body_bytes = usize::try_from(length).map_err(|_| FrameTooLarge)?;
                if body_bytes > FRAME_BODY_BYTES_TAKEN_MAX {
                    return Err(FrameTooLarge);
                }
                self.body_bytes_left = body_bytes;
            }
            _ => {}
        }
        Ok((flags & FLAG_RST != 0).then_some(Sight::Reset(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameTooLarge, Frames, Sight};
    use crate::limits::FRAME_BODY_BYTES_TAKEN_MAX;

    fn frame(tag: u8, flags: u8, id: u32, length: u32) -> Vec<u8> {
        let mut bytes = vec![0, tag, 0, flags];
        bytes.extend(id.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes
    }

    #[test]
    fn sights_do_not_depend_on_how_bytes_are_cut() {
        let mut bytes = frame(0, 1, 2, 30);
        bytes.extend([8; 30]);
        bytes.extend(frame(1, 0, 2, 4096));
        bytes.extend(frame(2, 1, 0, 7));
        bytes.extend(frame(0, 8, 2, 0));
        bytes.extend(frame(1, 8, 4, 0));
        bytes.extend(frame(3, 0, 0, 1));
        for size in 1..=bytes.len() {
            let mut sights = Vec::new();
            let mut frames = Frames::default();
            for part in bytes.chunks(size) {
                assert_eq!(frames.pass(part, |sight| sights.push(sight)), Ok(()));
            }
            assert_eq!(sights, [Sight::Reset(2), Sight::Reset(4), Sight::GoAway(1)], "cut by {size}");
        }
    }

    #[test]
    fn a_body_is_bounded() {
        let max = u32::try_from(FRAME_BODY_BYTES_TAKEN_MAX).unwrap_or(u32::MAX);
        for (length, verdict) in [(max - 1, Ok(())), (max, Ok(())), (max + 1, Err(FrameTooLarge))] {
            assert_eq!(Frames::default().pass(&frame(0, 0, 2, length), |_| ()), verdict);
        }
    }
}
