//! What the preface agreed on for a session.

use std::time::Duration;

use adit_mux::Config;
use adit_wire::preface::ServerPreface;

use crate::limits::{HEARTBEAT_DEAD_MAX, HEARTBEAT_IDLE};

/// What the node said, as far as it makes sense. Zero leaves it at what the mux does by itself.
pub(super) fn config(preface: &ServerPreface) -> Config {
    let mut config = Config::default();
    if preface.streams_max > 0 {
        config.streams_max = usize::try_from(preface.streams_max).unwrap_or(usize::MAX);
    }
    if preface.heartbeat_idle_ms > 0 && preface.heartbeat_dead_ms > 0 {
        let idle = Duration::from_millis(preface.heartbeat_idle_ms.into());
        config.heartbeat_idle = idle.clamp(*HEARTBEAT_IDLE.start(), *HEARTBEAT_IDLE.end());
        let dead = Duration::from_millis(preface.heartbeat_dead_ms.into());
        config.heartbeat_dead = dead.clamp(config.heartbeat_idle * 3 / 2, HEARTBEAT_DEAD_MAX);
    }
    config
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_domain::id::NodeId;
    use adit_mux::Config;
    use adit_wire::preface::{ServerPreface, Status};

    use super::config;
    use crate::limits::{HEARTBEAT_DEAD_MAX, HEARTBEAT_IDLE};

    /// The heartbeat of a session whose node names these, in milliseconds.
    fn heartbeat(idle: Duration, dead: Duration) -> (Duration, Duration) {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let mut preface = ServerPreface::refusal(Status::Ok, 0, NodeId::new());
        (preface.heartbeat_idle_ms, preface.heartbeat_dead_ms) = (millis(idle), millis(dead));
        let Config { heartbeat_idle, heartbeat_dead, .. } = config(&preface);
        (heartbeat_idle, heartbeat_dead)
    }

    #[test]
    fn a_node_names_the_heartbeat_within_bounds() {
        const A_MOMENT: Duration = Duration::from_millis(1);
        let (shortest, longest) = HEARTBEAT_IDLE.into_inner();
        for (named, kept) in [
            (shortest.saturating_sub(A_MOMENT), shortest),
            (shortest, shortest),
            (shortest + A_MOMENT, shortest + A_MOMENT),
            (longest.saturating_sub(A_MOMENT), longest.saturating_sub(A_MOMENT)),
            (longest, longest),
            (longest + A_MOMENT, longest),
        ] {
            assert_eq!(heartbeat(named, 2 * longest).0, kept, "{named:?}");
        }
        for (named, kept) in [
            (HEARTBEAT_DEAD_MAX.saturating_sub(A_MOMENT), HEARTBEAT_DEAD_MAX.saturating_sub(A_MOMENT)),
            (HEARTBEAT_DEAD_MAX, HEARTBEAT_DEAD_MAX),
            (HEARTBEAT_DEAD_MAX + A_MOMENT, HEARTBEAT_DEAD_MAX),
            // Nobody is dead before it was asked.
            (A_MOMENT, longest * 3 / 2),
        ] {
            assert_eq!(heartbeat(longest, named).1, kept, "{named:?}");
        }
        let Config { heartbeat_idle, heartbeat_dead, .. } = Config::default();
        assert_eq!(heartbeat(Duration::ZERO, longest), (heartbeat_idle, heartbeat_dead));
    }
}
