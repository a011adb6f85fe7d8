//! Whether the node has room for new work: shed it before memory or descriptors run out, and carry what is there on.

mod kept;
mod proc;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use adit_mux::Budget;
use adit_net::accept::Gate;
use adit_process::shutdown::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::{OVERLOAD_LOOK_INTERVAL, SHED_ABOVE_PERCENT, SHED_UNTIL_PERCENT};
use kept::{Kept, held_bytes};
pub(crate) use proc::Ceilings;
use proc::Use;

/// Says whether new work is shed. Asked for every request, so it is one atomic read.
#[derive(Debug)]
pub(crate) struct Overload {
    sheds: AtomicBool,
    sheds_agents: AtomicBool,
    /// Connections with which, at the last look, the descriptors would have run short: a flood is faster than looks.
    connections_max: AtomicUsize,
}

impl Default for Overload {
    fn default() -> Self {
        let connections_max = AtomicUsize::new(usize::MAX);
        Self { sheds: AtomicBool::new(false), sheds_agents: AtomicBool::new(false), connections_max }
    }
}

impl Overload {
    /// Whether new work is refused now.
    pub(crate) fn sheds(&self, gate: &Gate) -> bool {
        self.sheds.load(Ordering::Relaxed)
            || gate.counts().open >= self.connections_max.load(Ordering::Relaxed)
    }

    /// Whether new agents are refused now: only for lack of memory. Each takes one descriptor, of which the gate keeps some
    /// for them, and visitors who are idle must not keep agents out.
    pub(crate) fn sheds_agents(&self) -> bool {
        self.sheds_agents.load(Ordering::Relaxed)
    }

    /// Looks at what is used until the node stops.
    pub(crate) async fn watch(
        self: Arc<Self>,
        ceilings: Ceilings,
        gate: Gate,
        streams: Budget,
        mut shutdown: Shutdown,
    ) {
        let mut ticks = interval(OVERLOAD_LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kept = Kept::default();
        loop {
            tokio::select! {
                () = shutdown.stopped() => return,
                _ = ticks.tick() => {
                    let open = gate.counts().open;
                    let used = kept.look(Use::now(), held_bytes(open, &streams), ceilings);
                    self.look(used, ceilings);
                    self.bound_connections(used, ceilings, open);
                }
            }
        }
    }

    /// Whatever else is open stays open: what is left up to the line is for connections.
    fn bound_connections(&self, used: Use, ceilings: Ceilings, open: usize) {
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        let line = ceilings.descriptors.saturating_mul(SHED_ABOVE_PERCENT) / 100;
        let bound = line.saturating_sub(used.descriptors.saturating_sub(open));
        self.connections_max.store(usize::try_from(bound).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Above one line work is shed, and until the use is back under a lower one: between the two nothing changes, so
    /// that a node at its limit does not flutter.
    fn look(&self, used: Use, ceilings: Ceilings) {
        match turned(&self.sheds, used.percent_of(ceilings)) {
            Some(true) => {
                tracing::warn!(?used, ?ceilings, "new work is refused: memory or descriptors run out");
            }
            Some(false) => tracing::info!(?used, "new work is taken again"),
            None => {}
        }
        turned(&self.sheds_agents, used.memory_percent_of(ceilings));
    }
}

/// Whether work is shed from now on, where that changes.
fn turned(sheds: &AtomicBool, percent: u64) -> Option<bool> {
    let did = sheds.load(Ordering::Relaxed);
    let line = if did { SHED_UNTIL_PERCENT.saturating_add(1) } else { SHED_ABOVE_PERCENT };
    let does = percent >= line;
    sheds.store(does, Ordering::Relaxed);
    (does != did).then_some(does)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use adit_mux::Budget;
    use adit_net::accept::{ConnectionLimits, Gate};
    use adit_process::shutdown::Shutdown;
    use adit_process::tasks::Tasks;
    use tokio::time::sleep;

    use super::{Ceilings, Overload, Use};
    use crate::limits::{OVERLOAD_LOOK_INTERVAL, SHED_ABOVE_PERCENT, SHED_UNTIL_PERCENT};

    #[test]
    fn shedding_begins_above_one_line_and_ends_below_another() {
        let ceilings = Ceilings { memory_bytes: 1_000_000, descriptors: 1_000 };
        let memory = |percent: u64| Use { memory_bytes: 10_000 * percent, descriptors: 0 };
        let descriptors = |percent: u64| Use { memory_bytes: 0, descriptors: 10 * percent };
        let overload = Overload::default();
        for used in [memory, descriptors] {
            for (percent, sheds) in [
                (0, false),
                (SHED_ABOVE_PERCENT - 1, false),
                (SHED_ABOVE_PERCENT, true),
                (100, true),
                (SHED_ABOVE_PERCENT - 1, true),
                (SHED_UNTIL_PERCENT + 1, true),
                (SHED_UNTIL_PERCENT, false),
                (SHED_UNTIL_PERCENT + 1, false),
                (200, true),
                (SHED_UNTIL_PERCENT - 1, false),
            ] {
                let used = used(percent);
                overload.look(used, ceilings);
                assert_eq!(overload.sheds.load(Ordering::Relaxed), sheds, "{percent}");
                let keeps_agents_out = sheds && used.memory_bytes > 0;
                assert_eq!(overload.sheds_agents(), keeps_agents_out, "{percent}");
            }
        }
    }

    #[test]
    fn a_ceiling_of_nothing_sheds_and_an_unknown_use_does_not() {
        let overload = Overload::default();
        overload.look(Use::default(), Ceilings { memory_bytes: 1, descriptors: 1 });
        assert!(!overload.sheds.load(Ordering::Relaxed));
        overload.look(Use { memory_bytes: 1, descriptors: 0 }, Ceilings { memory_bytes: 0, descriptors: 1 });
        assert!(overload.sheds.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_used_is_looked_at_all_the_time() {
        let ceilings = Ceilings { memory_bytes: u64::MAX, descriptors: 1_000 };
        let gate = Gate::new(ConnectionLimits { connections_max: 8, per_address_max: 8 });
        let (overload, (_trigger, shutdown)) = (Arc::new(Overload::default()), Shutdown::new());
        let tasks = Tasks::new("test");
        let watching = Arc::clone(&overload).watch(ceilings, gate, Budget::new(0), shutdown);
        drop(tasks.spawn("watch", watching));
        let bound = || overload.connections_max.load(Ordering::Relaxed);
        sleep(OVERLOAD_LOOK_INTERVAL / 2).await;
        let before = bound();
        // Other tests of the process may have some, too.
        let files: Vec<_> = (0..64).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        sleep(OVERLOAD_LOOK_INTERVAL / 4).await;
        assert_eq!(bound(), before);
        sleep(OVERLOAD_LOOK_INTERVAL / 2).await;
        assert!(bound() <= before - files.len() / 2, "{} of {before}", bound());
    }

    #[test]
    fn connections_are_bounded_between_two_looks() {
        let ceilings = Ceilings { memory_bytes: 1, descriptors: 1_000 };
        let overload = Overload::default();
        for (descriptors, open, bound) in [(100, 50, 800), (900, 850, 800), (900, 0, 0), (50, 50, 850)] {
            overload.bound_connections(Use { memory_bytes: 0, descriptors }, ceilings, open);
            assert_eq!(overload.connections_max.load(Ordering::Relaxed), bound);
        }
    }
}
