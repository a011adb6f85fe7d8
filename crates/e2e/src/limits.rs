//! How long tests wait and how much they carry.

use std::time::Duration;

/// Anything that Adit does on its own and that is not under one of the bounds below.
pub const EVENT_WITHIN: Duration = Duration::from_secs(20);

/// One step of an exchange: a head, a frame of a body, a connection. Above Adit's own deadlines for a dead link,
/// so that a test sees Adit's answer and not its own.
pub const STEP_WITHIN: Duration = Duration::from_secs(40);

/// A start of `aditd` on two busy cores, with a new data folder.
pub const START_WITHIN: Duration = Duration::from_secs(30);

/// A command of `aditd admin`.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(30);

/// A revocation cuts live sessions within this time. What Adit promises, not what a test allows.
pub const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// A program has given back what it held for those who left. Idle connections live for a while.
pub const GIVEN_BACK_WITHIN: Duration = Duration::from_mins(1);

/// How often a condition that nobody announces is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Bytes of one large body.
const LARGE_BODY_BYTES: u64 = 64 * 1024 * 1024;
/// The same in the full run.
const LARGE_BODY_BYTES_FULL: u64 = 1024 * 1024 * 1024;

/// Whether this is the full run (`cargo xtask test --full`).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the environment is the configuration of a test run")]
pub fn full() -> bool {
    std::env::var_os("ADIT_TEST_FULL").is_some_and(|value| value == "1")
}

/// Bytes of one large body: 64 MiB, 1 GiB in the full run.
#[must_use]
pub fn large_body_bytes() -> u64 {
    if full() { LARGE_BODY_BYTES_FULL } else { LARGE_BODY_BYTES }
}
