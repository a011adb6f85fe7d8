//! How soon what must be over, fault by fault.

use std::time::Duration;

use adit_testkit::ledger::Bounds;

/// F1 and F2: from a death until every visitor has seen the cut.
pub(super) const CUT: Duration = Duration::from_secs(2);

/// F1: from the start of another agent until its endpoint serves.
pub(super) const AGENT_BACK: Duration = Duration::from_secs(3);

/// F2: from the start of the server until the endpoints of its agents serve.
pub(super) const SERVER_BACK: Duration = Duration::from_secs(10);

/// F9 to F11: from the moment that the network goes silent until both sides know. Silence is taken for death after 15 s.
pub(super) const DEAD: Duration = Duration::from_secs(25);

/// F17: from the start of the server until a whole herd is back.
pub(super) const HERD_BACK: Duration = Duration::from_secs(30);

/// After a fault that lasts, or that comes again before a session has lived for a minute: the longest pause of an agent
/// between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a request waits for an agent that is away.
const HOLD: Duration = Duration::from_secs(15);

/// What a machine that does other things may add to each of them. Those of seconds are kept in fractions of one on a machine
/// that does not.
const BUSY: Duration = Duration::from_secs(3);

/// A promise, on a machine that does other things.
pub(super) const fn busy(promise: Duration) -> Duration {
    promise.saturating_add(BUSY)
}

/// Who dies is missed at once: a request waits for another agent at most, and agents need no longer than to start.
pub(super) const USUAL: Bounds = Bounds { back_within: busy(AGENT_BACK), told_within: busy(HOLD) };

/// The same where agents must find a new server first.
pub(super) const NEW_SERVER: Bounds = Bounds { back_within: busy(SERVER_BACK), ..USUAL };

/// The same where nobody is told: a request waits until a link is known to be dead, and then for another agent.
pub(super) const SILENT: Bounds = Bounds { told_within: busy(DEAD.saturating_add(HOLD)), ..USUAL };

/// The same after a fault that has lasted, or has come again and again: each agent is within a pause.
pub(super) const AFTER_LONG: Bounds =
    Bounds { back_within: busy(LONGEST_PAUSE.saturating_add(AGENT_BACK)), ..SILENT };
