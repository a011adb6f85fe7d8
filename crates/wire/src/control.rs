//! The frames of the control stream, the first stream of a session.
//!
//! `body length u16 | kind u8 | flags u8`, then the body. Lengths and numbers are little-endian.

mod body;
mod body_error;
mod decoder;
mod reasons;
mod text;

use std::num::NonZeroU16;

use adit_domain::id::{EndpointId, InstanceId};
use adit_domain::{EndpointKind, Epoch, Handling, Hostname, Pooling, UpstreamProtocol};
use thiserror::Error;

pub use body_error::BodyError;
pub use decoder::Decoder;
pub use reasons::{BindRefusal, DrainReason, GoodbyeReason, UnbindReason};

use crate::capability::SignedCapability;
use crate::preface::Status;

/// The flag of a frame that a receiver who does not know its kind must not skip.
pub const FLAG_CRITICAL: u8 = 1;

/// One frame of the control stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Agent to node: serve an endpoint.
    Bind(Bind),
    /// Node to agent: the endpoint is the agent's.
    Bound(Bound),
    /// Node to agent: it is not.
    BindRefused(BindRefused),
    /// Either way: the binding ends.
    Unbind(Unbind),
    /// Either way: answer with a pong.
    Ping {
        /// What the pong repeats.
        nonce: u64,
    },
    /// The answer to a ping.
    Pong {
        /// The ping's.
        nonce: u64,
    },
    /// Node to agent: this session ends; open another one now, and keep serving what is open here.
    Drain {
        /// Why.
        reason: DrainReason,
        /// After how many milliseconds the node closes the session.
        deadline_ms: u32,
    },
    /// Agent to node: a new capability, with the rights of the one in force, please.
    Refresh {
        /// Numbers the question.
        request: u32,
    },
    /// Node to agent: the new capability. From now on the session lasts as long as it does.
    Refreshed {
        /// The question's number.
        request: u32,
        /// The new capability.
        capability: SignedCapability,
    },
    /// Node to agent: no new capability. The session lasts as long as the old one does.
    RefreshRefused {
        /// The question's number.
        request: u32,
        /// Why not.
        status: Status,
        /// How many milliseconds to wait at least before asking again.
        retry_after_ms: u32,
    },
    /// Either way: the last frame; the sender closes the connection.
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
        /// From the node: how many milliseconds to wait at least before dialling again; 0 says nothing.
        retry_after_ms: u32,
    },
}

/// Asks to serve an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bind {
    /// Numbers the question within the session; the answer repeats it.
    pub request: u32,
    /// What visitors speak.
    pub kind: EndpointKind,
    /// The endpoint's host name. None asks for the stable default name of (agent's key, label).
    pub hostname: Option<Hostname>,
    /// The public port, for kinds that have one. None: the one that the endpoint has, or any that is free.
    pub port: Option<NonZeroU16>,
    /// What the agent calls the upstream; at most [`LABEL_BYTES_MAX`](crate::limits::LABEL_BYTES_MAX) bytes without
    /// control characters.
    pub label: String,
    /// What the upstream speaks, and so the node to it.
    pub upstream: UpstreamProtocol,
    /// The `Host` that the upstream is sent instead of the visitor's, at most
    /// [`HOST_HEADER_BYTES_MAX`](crate::limits::HOST_HEADER_BYTES_MAX) visible ASCII bytes; empty leaves the visitor's.
    pub host_header: String,
    /// This running copy of the agent.
    pub instance: InstanceId,
    /// The epoch that this instance holds, to resume it or to add a session to it; [`Epoch::NONE`] takes over.
    pub prior_epoch: Epoch,
    /// To share the endpoint with other agents that ask for it too; none serves it alone.
    pub pooling: Option<Pooling>,
    /// How requests to the upstream are handled.
    pub handling: Handling,
}

/// The endpoint is the agent's, until an unbind or a newer epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The question's number.
    pub request: u32,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The binding's epoch. Streams carry it, and a later bind resumes with it.
    pub epoch: Epoch,
    /// The public URL to show to people; at most [`URL_BYTES_MAX`](crate::limits::URL_BYTES_MAX) visible ASCII bytes.
    pub url: String,
    /// The endpoint's host name. A later bind should ask for it.
    pub hostname: Hostname,
}

/// The endpoint is not the agent's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindRefused {
    /// The question's number.
    pub request: u32,
    /// Why.
    pub reason: BindRefusal,
    /// How many milliseconds to wait at least before asking again; 0 says nothing.
    pub retry_after_ms: u32,
    /// For people: at most [`MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX) bytes without control characters.
    pub message: String,
}

/// A binding ends, if its epoch is the one named here or an older one. The session and its other bindings go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unbind {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The binding's epoch; after [`UnbindReason::Replaced`] the epoch that won.
    pub epoch: Epoch,
    /// Why.
    pub reason: UnbindReason,
}

/// Why a frame cannot be written. Names the field, never its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A text longer than its bound.
    #[error("{field} is longer than {bytes_max} bytes")]
    TooLong {
        /// The field of the frame.
        field: &'static str,
        /// Its bound in bytes.
        bytes_max: usize,
    },
    /// A text with a control character, or with anything but visible ASCII where only that is allowed.
    #[error("{field} has a character that is not allowed")]
    Character {
        /// The field of the frame.
        field: &'static str,
    },
}

/// Why the control stream cannot go on. There is no way to find the next frame after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ControlError {
    /// A frame says that it is longer than any may be.
    #[error("control frame has a body of {0} bytes")]
    TooLong(usize),
    /// A frame of unknown kind that must not be skipped.
    #[error("control frame of the unknown kind {0} must not be skipped")]
    UnknownCritical(u8),
    /// A frame of known kind whose body breaks a rule.
    #[error("control frame of kind {kind} is malformed")]
    Body {
        /// The frame's kind.
        kind: u8,
        /// The rule.
        source: BodyError,
    },
}

/// Appends a frame to `out`.
///
/// # Errors
/// A text in it breaks a rule; `out` is as it was then.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    body::encode(frame, out)
}
