//! The mux against a peer that speaks yamux frames by hand, and against itself.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, own the tasks that they spawn, and a frame has five fields"
)]

mod bulk;
mod closing;
mod control;
mod credit;
mod datagrams;
mod early;
mod endings;
mod far;
mod floods;
mod gate;
mod heartbeat;
mod kit;
mod leaving;
mod neighbours;
mod opening;
mod pumping;
mod raw;
mod stalled;
mod transfer;
mod violations;
mod writing;
