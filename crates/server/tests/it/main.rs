//! The data plane at its boundaries: TLS and HTTP in front, the agent's protocol behind.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod access_log;
mod agents;
mod crowds;
mod deadlines;
mod hold;
mod leaving;
mod panics;
mod plans;
mod pool;
mod removal;
mod reuse;
mod sessions;
mod shares;
mod slow;
mod support;
mod traps;
