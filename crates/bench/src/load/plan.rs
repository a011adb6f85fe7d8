//! How much a run carries.

use std::time::Duration;

/// Sizes and times of all loads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of a bulk load, all streams together.
    pub bulk_bytes: u64,
    /// Bytes of a load over a far link.
    pub far_bytes: u64,
    /// How long requests go on.
    pub requests_for: Duration,
    /// How long probes go on beside something.
    pub probes_for: Duration,
    /// How often probes with and without a flood take turns.
    pub flood_rounds: u32,
    /// Connections that are set up at once.
    pub connecting: u32,
    /// Bytes that each download must have brought before the probes begin.
    pub underway_bytes: u64,
    /// Between two probes.
    pub probe_every: Duration,
    /// What a reader asks for that does not read it.
    pub stalled_bytes: u64,
    /// The download after the stalled readers.
    pub healthy_bytes: u64,
    /// Idle visitors.
    pub idle_visitors: u32,
    /// Idle agents.
    pub idle_agents: usize,
    /// A fraction of every number of readers.
    pub readers_divided_by: u32,
    /// How long a thing must stand still to count as settled.
    pub settle_every: Duration,
}

const MIB: u64 = 1024 * 1024;

impl Plan {
    /// What is published.
    pub const fn full() -> Self {
        Self {
            bulk_bytes: 1024 * MIB,
            far_bytes: 512 * MIB,
            requests_for: Duration::from_secs(3),
            probes_for: Duration::from_secs(4),
            flood_rounds: 5,
            connecting: 16,
            underway_bytes: 8 * MIB,
            probe_every: Duration::from_millis(2),
            stalled_bytes: 1024 * MIB,
            healthy_bytes: 256 * MIB,
            idle_visitors: 1000,
            idle_agents: 200,
            readers_divided_by: 1,
            settle_every: Duration::from_millis(300),
        }
    }

    /// A moment of each: it shows that the driver works and measures nothing.
    pub const fn brief() -> Self {
        Self {
            bulk_bytes: 8 * MIB,
            far_bytes: 2 * MIB,
            requests_for: Duration::from_millis(100),
            probes_for: Duration::from_millis(100),
            flood_rounds: 1,
            connecting: 4,
            underway_bytes: MIB / 4,
            probe_every: Duration::from_millis(2),
            stalled_bytes: 64 * MIB,
            healthy_bytes: 4 * MIB,
            idle_visitors: 20,
            idle_agents: 3,
            readers_divided_by: 10,
            settle_every: Duration::from_millis(50),
        }
    }
}
