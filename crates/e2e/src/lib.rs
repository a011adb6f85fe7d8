//! Adit from outside: real processes, real sockets, nothing inside known.
//!
//! A [`Stack`] is a running `aditd`, an [`Agent`] a running `adit`, an [`Origin`] the upstream behind it and a
//! [`Visitor`] whoever comes through. A [`Scene`] is one of each, ready. The tests in `tests/` are written against what
//! Adit promises; what they start ends with them, and its logs are printed, which the runner shows when a test fails.
#![forbid(unsafe_code)]
#![expect(clippy::missing_errors_doc, reason = "every error of this crate is a test that fails")]

mod agent;
mod asking;
mod body;
mod database;
mod grpc;
mod ledger;
mod limits;
mod line;
mod load;
mod name_server;
mod network;
mod origin;
mod pattern;
mod pieces;
mod port_slot;
mod program;
mod programs;
mod proxy;
mod raw_http2;
mod raw_origin;
mod scene;
mod self_signed;
mod set_clock;
mod stack;
mod starvation;
mod tls;
mod udp;
mod visitor;
mod wait;

pub use agent::{Agent, Home};
pub use asking::Asking;
pub use body::{Body, Digest, Parts, body_of, digest, empty, patterned, text};
pub use database::Database;
pub use grpc::{Calls, GrpcOrigin, Messages, Speaks, message};
pub use ledger::{Counted, Ledger, Side, Totals};
pub use limits::{EVENT_WITHIN, REVOKED_WITHIN, full, large_body_bytes};
pub use line::{Line, Quality};
pub use load::{LedgerOrigin, Load, Mood, QUERY_SECRET, SMALL_BYTES_MAX};
pub use name_server::NameServer;
pub use network::{HERE, Lost, Network};
pub use origin::{Origin, Upload};
pub use pattern::Pattern;
pub use pieces::in_pieces;
pub use port_slot::PortSlot;
pub use program::Program;
pub use proxy::Proxy;
pub use raw_http2::{RawFrame, RawHttp2};
pub use raw_origin::{RawOrigin, head_of};
pub use rustix::process::Signal;
pub use scene::Scene;
pub use self_signed::SelfSigned;
pub use set_clock::SetClock;
pub use stack::{Descriptors, Key, Options, Stack, operator};
pub use starvation::Starvation;
pub use tls::believing;
pub use udp::{DATAGRAM_BYTES_MAX, Seen, UdpOrigin, UdpVisitor};
pub use visitor::{Connection, Visitor};
pub use wait::{until, within};
