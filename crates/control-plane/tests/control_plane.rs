//! The control plane as agents, nodes and the operator meet it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "suite/admin.rs"]
mod admin;
#[path = "suite/authority.rs"]
mod authority;
#[path = "suite/exchange.rs"]
mod exchange;
#[path = "suite/fixture.rs"]
mod fixture;
