//! The data plane: one port for visitors and agents, and the way between them.
//!
//! A node terminates TLS, routes each request by its authority to a live tunnel, and speaks HTTP to the upstream through
//! the agent, which is a pipe for bytes. It decides nothing: keys, names and revocations come from the control plane
//! through `adit-authority`.
#![forbid(unsafe_code)]

mod access;
mod agents;
mod arrivals;
mod balance;
mod builder;
mod choice;
mod clock;
mod flows;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handshakes;
mod health;
mod hold;
mod ingress;
mod known;
pub mod limits;
mod manner;
mod member;
mod metering;
mod mix;
mod node;
mod overload;
mod places;
mod pool;
mod ports;
mod probe;
mod registry;
mod resume;
mod routes;
mod serving;
mod share;
mod sticky;
#[cfg(test)]
mod stub;
mod trace;
mod trust;
mod tunnel;
mod upkeep;
mod visitor;

pub use builder::{Builder, Server, ServerError};
pub use metering::SpoolError;
