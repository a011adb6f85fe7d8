//! The protocol between agent and node, version 1, and the capability: layouts, codec and bounds.
//!
//! This crate does no I/O, reads no clock and starts nothing: bytes and time are arguments, and randomness is used
//! only where a key is generated. Every decoder is total: it answers any input with a value or an error, and no number
//! from the wire sizes an allocation. `docs/protocol.md` specifies the same for people who write another agent; the
//! vectors in `docs/vectors/` hold both to it.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

pub mod capability;
mod codes;
pub mod control;
pub mod credit;
mod fixed;
mod hex;
pub mod limits;
pub mod preface;
pub mod record;
pub mod stream;

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;

/// The ALPN protocol name (RFC 7301) of an agent's connection.
pub const ALPN: &[u8] = b"adit/1";

/// The label under which both ends take [`preface::Exporter`] from TLS (RFC 8446, section 7.5), with an empty context.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-adit-agent-v1";
