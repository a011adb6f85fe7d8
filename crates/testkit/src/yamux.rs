//! yamux as twelve bytes and a body, for peers that tests write by hand.

mod trap;

pub use trap::{Ended, Trap};

use adit_wire::control::{self, EncodeError, Frame};
use adit_wire::credit::Credit;

/// Kinds of frames: the second byte.
pub const DATA: u8 = 0;
/// More of a stream may be sent.
pub const WINDOW: u8 = 1;
/// To be answered with the same number.
pub const PING: u8 = 2;
/// The session ends.
pub const GO_AWAY: u8 = 3;

/// Flags: the fourth byte.
pub const SYN: u8 = 1;
/// An answer to it.
pub const ACK: u8 = 2;
/// Nothing more comes on the stream.
pub const FIN: u8 = 4;
/// The stream is gone.
pub const RST: u8 = 8;

/// The stream that the agent opens first, for control frames.
pub const CONTROL: u32 = 1;
/// The one that it opens second, for credit.
pub const CREDIT: u32 = 3;

/// A frame without a body, or the header of one that has one, whatever its length says.
#[must_use]
pub fn frame(kind: u8, flags: u8, id: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind, 0, flags];
    bytes.extend(id.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// A *data* frame with this body.
#[must_use]
pub fn data(flags: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = frame(DATA, flags, id, u32::try_from(body.len()).unwrap_or(u32::MAX));
    bytes.extend(body);
    bytes
}

/// The same bytes in *data* frames of one byte each.
#[must_use]
pub fn drops(id: u32, body: &[u8]) -> Vec<u8> {
    body.iter().flat_map(|byte| data(0, id, &[*byte])).collect()
}

/// What an honest agent says first: both its streams, and these frames on the first.
///
/// # Errors
/// When a frame is none.
pub fn hello(frames: &[Frame]) -> Result<Vec<u8>, EncodeError> {
    let mut said = Vec::new();
    control::encode(&Frame::Pong { nonce: 0 }, &mut said)?;
    for frame in frames {
        control::encode(frame, &mut said)?;
    }
    Ok([data(SYN, CONTROL, &said), data(SYN, CREDIT, &Credit::HELLO.encode())].concat())
}
