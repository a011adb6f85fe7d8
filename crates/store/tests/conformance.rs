//! What both engines must do alike: every test runs on SQLite and on Postgres.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "conformance/capabilities.rs"]
mod capabilities;
#[path = "conformance/changes.rs"]
mod changes;
#[path = "conformance/claims.rs"]
mod claims;
#[path = "conformance/crash.rs"]
mod crash;
#[path = "conformance/fixture.rs"]
mod fixture;
#[path = "conformance/isolation.rs"]
mod isolation;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/opening.rs"]
mod opening;
#[path = "conformance/ports.rs"]
mod ports;
#[path = "conformance/removal.rs"]
mod removal;
#[path = "conformance/server_lock.rs"]
mod server_lock;
#[path = "conformance/usage.rs"]
mod usage;
