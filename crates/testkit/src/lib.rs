//! What tests of several crates share: a Postgres of their own, waiting for a condition, child processes that do not
//! outlive the test, a TCP peer that echoes, connections in memory, times on a clock that stands still, the ledgers of runs with faults, and hostile
//! agents. Only ever a dev-dependency.
#![forbid(unsafe_code)]

mod child;
mod clock;
mod echo;
pub mod ledger;
pub mod limits;
pub mod memory;
mod postgres;
mod wait;
pub mod yamux;

pub use child::ChildGuard;
pub use clock::takes;
pub use echo::Echo;
pub use postgres::{POSTGRES_VARIABLE, Postgres};
pub use wait::{until, until_blocking};
