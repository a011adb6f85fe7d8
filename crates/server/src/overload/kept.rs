//! Memory that nobody holds any more and that the allocator keeps. The process has it resident, and new work can have it: a
//! node that counted it as used would refuse new work for ever after a crowd has left.

use adit_mux::Budget;

use super::proc::{Ceilings, Use};
use crate::limits::{CONNECTION_BYTES_MIN, GROWTH_WEIGHT, SHED_UNTIL_PERCENT};

/// What connections and streams hold, at least.
pub(super) fn held_bytes(connections: usize, streams: &Budget) -> u64 {
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let connections = bytes(connections).saturating_mul(CONNECTION_BYTES_MIN);
    // What is granted is not all used.
    connections.saturating_add(bytes(streams.used_bytes() / 2))
}

/// Follows the most that was held since memory has been scarce: what of it is held no more, the allocator keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    held_bytes_max: u64,
    /// What was resident at that time.
    resident_bytes: u64,
}

impl Kept {
    /// What is used of the memory that is resident.
    pub(super) fn look(&mut self, resident: Use, held_bytes: u64, ceilings: Ceilings) -> Use {
        let Use { memory_bytes, .. } = resident;
        let is_scarce = resident.memory_percent_of(ceilings) > SHED_UNTIL_PERCENT;
        if !is_scarce || held_bytes >= self.held_bytes_max {
            *self = Self { held_bytes_max: held_bytes, resident_bytes: memory_bytes };
        }
        let growth = memory_bytes.saturating_sub(self.resident_bytes);
        let kept = self.held_bytes_max.saturating_sub(held_bytes);
        let kept = kept.saturating_sub(growth.saturating_mul(GROWTH_WEIGHT));
        Use { memory_bytes: memory_bytes.saturating_sub(kept), ..resident }
    }
}

#[cfg(test)]
mod tests {
    use adit_mux::Budget;

    use super::{Ceilings, Kept, Use, held_bytes};
    use crate::limits::{CONNECTION_BYTES_MIN, GROWTH_WEIGHT};

    const CEILINGS: Ceilings = Ceilings { memory_bytes: 1_000, descriptors: 1 };

    fn used(kept: &mut Kept, resident_bytes: u64, held_bytes: u64) -> u64 {
        kept.look(Use { memory_bytes: resident_bytes, descriptors: 0 }, held_bytes, CEILINGS).memory_bytes
    }

    #[test]
    fn what_a_crowd_held_is_free_when_it_has_left() {
        let mut kept = Kept::default();
        for (resident, held, is_used) in [
            (200, 100, 200),
            (500, 300, 500),
            (800, 500, 800),
            (900, 600, 900),
            // Half of it leaves, then all; nothing is given back, and a little is taken besides.
            (900, 300, 600),
            (905, 0, 325),
            // Others come into what it held.
            (905, 400, 725),
            (910, 600, 910),
            // More than before: memory grows with it.
            (950, 700, 950),
            (950, 600, 850),
            // The allocator gives some back.
            (700, 100, 700),
            (800, 100, 800),
        ] {
            assert_eq!(used(&mut kept, resident, held), is_used, "{resident} {held}");
        }
    }

    #[test]
    fn memory_that_grows_had_little_left() {
        let mut kept = Kept::default();
        assert_eq!(used(&mut kept, 900, 600), 900);
        assert_eq!(used(&mut kept, 900, 100), 400);
        let lost = 500 / GROWTH_WEIGHT;
        for (growth, is_used) in
            [(lost - 1, 900 + lost - 1 - GROWTH_WEIGHT), (lost, 900 + lost), (lost + 1, 900 + lost + 1)]
        {
            assert_eq!(used(&mut kept, 900 + growth, 100), is_used, "{growth}");
        }
        assert_eq!(used(&mut kept, 900, 100), 400);
    }

    #[test]
    fn each_connection_holds_something() {
        let streams = Budget::new(1);
        for (connections, bytes) in [(0, 0), (1, CONNECTION_BYTES_MIN), (2, 2 * CONNECTION_BYTES_MIN)] {
            assert_eq!(held_bytes(connections, &streams), bytes);
        }
    }
}
