//! Cuts the bytes of a control stream into frames.

use super::{ControlError, FLAG_CRITICAL, Frame, body};
use crate::limits::{CONTROL_BODY_BYTES_MAX, CONTROL_FRAME_BYTES_MAX, CONTROL_HEADER_BYTES};

/// Cuts the bytes of a control stream into frames, however they arrive. Holds at most one frame's worth of bytes.
///
/// ```
/// # use adit_wire::control::{Decoder, Frame, encode};
/// # let mut bytes = Vec::new();
/// # encode(&Frame::Ping { nonce: 7 }, &mut bytes)?;
/// let mut decoder = Decoder::new();
/// let mut arrived = bytes.as_slice();
/// while !arrived.is_empty() {
///     let taken = decoder.push(arrived);
///     arrived = arrived.get(taken..).unwrap_or_default();
///     while let Some(frame) = decoder.next()? {
///         assert_eq!(frame, Frame::Ping { nonce: 7 });
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default, Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How many bytes of `buffer` belong to frames that were handed out.
    consumed: usize,
    failure: Option<ControlError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), consumed: 0, failure: None }
    }

    /// Takes bytes that arrived and says how many it took: fewer than given when it is full.
    ///
    /// After [`next`](Self::next) answered `None` there is room for at least one more byte, so a loop of the two always
    /// gets on.
    #[must_use = "the bytes that were not taken are to be pushed again after `next`"]
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        if self.failure.is_some() {
            return bytes.len();
        }
        let consumed = self.consumed.min(self.buffer.len());
        self.buffer.drain(..consumed);
        self.consumed = 0;
        let room = CONTROL_FRAME_BYTES_MAX.saturating_sub(self.buffer.len());
        let (taken, _) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.buffer.extend_from_slice(taken);
        taken.len()
    }

    /// The next whole frame; `None` when more bytes are needed. Frames of unknown kind are skipped unless critical.
    ///
    /// # Errors
    /// What ends the stream. It is said again each time, and whatever is pushed after it is dropped.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator that ends is not what a stream of bytes is"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, ControlError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let found = self.find();
        if let Err(failure) = found {
            self.failure = Some(failure);
            self.buffer = Vec::new();
            self.consumed = 0;
        }
        found
    }

    fn find(&mut self) -> Result<Option<Frame>, ControlError> {
        loop {
            let pending = self.buffer.get(self.consumed..).unwrap_or_default();
            let Some(([low, high, kind, flags], rest)) = pending.split_first_chunk::<CONTROL_HEADER_BYTES>()
            else {
                return Ok(None);
            };
            let body_len = usize::from(u16::from_le_bytes([*low, *high]));
            if body_len > CONTROL_BODY_BYTES_MAX {
                return Err(ControlError::TooLong(body_len));
            }
            let known = body::is_known(*kind);
            if !known && flags & FLAG_CRITICAL != 0 {
                return Err(ControlError::UnknownCritical(*kind));
            }
            let Some((frame, _)) = rest.split_at_checked(body_len) else {
                return Ok(None);
            };
            let decoded = body::decode(*kind, frame);
            let frame_len = CONTROL_HEADER_BYTES.saturating_add(body_len);
            self.consumed = self.consumed.saturating_add(frame_len);
            match decoded {
                None => {}
                Some(Ok(frame)) => return Ok(Some(frame)),
                Some(Err(source)) => return Err(ControlError::Body { kind: *kind, source }),
            }
        }
    }
}
