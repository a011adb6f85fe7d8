//! How long what may take.

use std::time::Duration;

use adit_testkit::ledger::Bounds;

/// After the last fault every endpoint serves again within this time: a dead link is noticed (15 s), the agent waits its
/// longest (30 s), and one more try may have begun into the fault (exchange, dial, TLS, preface and bind). An answer
/// begins within [`IDLE_S_MAX`] or is refused; the bodies here are short.
pub(crate) const BOUNDS: Bounds =
    Bounds { back_within: Duration::from_secs(110), told_within: Duration::from_secs(150) };

/// What the tenants here bought: as much silence, in seconds.
pub(crate) const IDLE_S_MAX: u16 = 120;
