//! Agent, node and control plane in a simulated network, with crashes, partitions, stalls and clocks that jump, all from
//! one seed.
//!
//! The agent and the node are the real ones, TLS included; what stands for the rest is the control plane in memory
//! ([`authority`]), origins and visitors. [`run()`] plays one seed: a [`schedule`] of faults over a load of requests, and
//! the [`ledger`](adit_testkit::ledger) in which everyone writes down what they saw is checked afterwards.
//! `docs/design/2026-11-21-simulation.md` says what is simulated and what is not.
#![forbid(unsafe_code)]
#![expect(clippy::missing_errors_doc, reason = "every error of this crate is a test that fails")]

pub mod authority;
mod bodies;
mod bounds;
mod cast;
mod clocks;
mod dice;
mod fuse;
mod network;
mod origin;
mod planted;
mod run;
pub mod schedule;
mod visitor;

pub use planted::Planted;
pub use run::{Outcome, run};
