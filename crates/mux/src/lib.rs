//! One authenticated connection, many bounded streams.
//!
//! The server [`serve`]s a connection and opens streams on its [`Session`]; the agent [`connect`]s and takes them from
//! [`Incoming`]. Both have a [`Control`] stream and a [`Driver`] that the caller spawns: the one task that owns the
//! connection. yamux stays behind this crate, see `docs/design/2026-11-21-yamux-behind-mux.md`; what a stream's end
//! means is said by records, see `docs/design/2026-11-21-records.md`.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

mod bell;
mod budget;
mod close;
mod config;
mod control;
mod credit;
mod driver;
mod flow;
mod gather;
mod heartbeat;
mod incoming;
mod lifetime;
pub mod limits;
mod line;
mod link;
mod lock;
mod pump;
mod register;
mod session;
mod setup;
mod shared;
mod stall;
mod stream;

pub use budget::{Budget, Grant};
pub use close::{CloseReason, Closed};
pub use config::Config;
pub use control::{Control, ControlReceiver, ControlSender, SendError};
pub use driver::Driver;
pub use flow::{Flow, FlowEnd, FlowIdle};
pub use incoming::{Arrival, Incoming};
pub use pump::{Blocked, PumpEnd, PumpLimits, Severed, Traffic, pump};
pub use session::{OpenError, Session};
pub use setup::{connect, serve};
pub use stream::{Answer, DatagramIo, Stream, StreamError};
