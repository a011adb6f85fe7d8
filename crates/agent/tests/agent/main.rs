//! The real program against a server that speaks the real protocol and does what the test says.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod command_line;
mod connections;
mod deadlines;
mod fake;
mod lifecycle;
mod program;
mod refusals;
mod sessions;
mod streams;
