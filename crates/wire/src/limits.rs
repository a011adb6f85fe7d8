//! Every bound of this crate. `docs/protocol.md` repeats them for the authors of other agents.

use std::time::Duration;

/// Whole length of a control frame in bytes, header included.
pub const CONTROL_FRAME_BYTES_MAX: usize = 16_384;

/// Length of a control frame's header in bytes.
pub const CONTROL_HEADER_BYTES: usize = 4;

/// Length of a control frame's body in bytes.
pub const CONTROL_BODY_BYTES_MAX: usize = CONTROL_FRAME_BYTES_MAX - CONTROL_HEADER_BYTES;

/// Length of a host name in bytes, in text form without a trailing dot.
pub const HOSTNAME_BYTES_MAX: usize = adit_domain::limits::HOSTNAME_BYTES_MAX;

/// Length of the name that an agent gives an upstream, in bytes of UTF-8.
pub const LABEL_BYTES_MAX: usize = 64;

/// Length of the `Host` that an agent has its upstream sent, in bytes of ASCII: a host name, a colon and a port.
pub const HOST_HEADER_BYTES_MAX: usize = HOSTNAME_BYTES_MAX + 6;

/// Length of an endpoint's public URL in bytes of ASCII.
pub const URL_BYTES_MAX: usize = 512;

/// Length of a message for people in bytes of UTF-8.
pub const MESSAGE_BYTES_MAX: usize = 256;

/// Payload of one *data* record in bytes: with its header (4) and yamux's (12) it fills one TLS record of 16,384 bytes.
pub const RECORD_DATA_BYTES_MAX: usize = 16_368;

/// Payload of one *datagram* record in bytes: the most that UDP carries over IPv4 (65,535 less the headers of both).
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// What the largest datagram takes from the credit of its stream, in as few frames of yamux as it fits. Whoever has read
/// everything lets the other side have at least so much: a datagram is begun only with credit for all of it.
pub const DATAGRAM_CREDIT_BYTES: usize = 65_831;

/// Bytes that the node may send on a data stream before the agent said whether it reached the upstream.
pub const EARLY_BYTES_MAX: usize = 65_536;

/// What each side of a new data stream may send, counted as [`FRAME_CREDIT_BYTES`] says, before the other gives it more:
/// [`EARLY_BYTES_MAX`] of data in frames of a usual size, with their headers. It is also what a stream can make its
/// reader hold at any time, so it is small; a thousand of them are 72 MiB.
pub const INITIAL_CREDIT_BYTES: usize = 73_728;

/// What a frame of yamux takes from the credit of its stream beside the bytes of its body: about the memory that it
/// costs whoever holds it, so that frames of one byte are no way to more of it.
pub const FRAME_CREDIT_BYTES: usize = 64;

/// How far the clocks of the minting and the verifying side may differ.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(1);

/// How many minting keys a [`KeyRing`](crate::capability::KeyRing) holds.
pub const KEY_RING_KEYS_MAX: usize = 16;
