//! CPU time between two moments: of a system's parts, and of everybody who has nothing to do with it.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::processes::Processes;
use crate::number::float;

/// Ticks per second in `/proc/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// An open measurement.
#[derive(Debug)]
pub struct Window {
    server: Vec<u32>,
    agent: Vec<u32>,
    before: Moment,
}

/// What a measurement showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// CPU seconds of the server's programs.
    pub server_seconds: f64,
    /// CPU seconds of the agent's programs.
    pub agent_seconds: f64,
    /// CPU that went to others and to the machine below this one, in percent of all cores.
    pub foreign_percent: f64,
}

#[derive(Debug)]
struct Moment {
    at: Instant,
    processes: Processes,
    machine: Machine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Machine {
    steal_ticks: u64,
    cores: u64,
}

impl Window {
    /// Begins. Everything that this process has started counts as ours.
    pub fn open(server: &[u32], agent: &[u32]) -> Result<Self> {
        Ok(Self { server: server.to_vec(), agent: agent.to_vec(), before: Moment::now()? })
    }

    /// Ends.
    pub fn close(self) -> Result<Spent> {
        let (before, after) = (self.before, Moment::now()?);
        let between =
            |roots: &[u32]| (after.processes.seconds(roots) - before.processes.seconds(roots)).max(0.0);
        let us = std::process::id();
        let others = after.processes.seconds_of_others(us) - before.processes.seconds_of_others(us);
        let stolen = after.machine.steal_ticks.saturating_sub(before.machine.steal_ticks);
        let foreign = others.max(0.0) + float(stolen) / TICKS_PER_SECOND;
        let all = after.at.duration_since(before.at).as_secs_f64() * float(after.machine.cores);
        Ok(Spent {
            server_seconds: between(&self.server),
            agent_seconds: between(&self.agent),
            foreign_percent: if all > 0.0 { 100.0 * foreign / all } else { 0.0 },
        })
    }
}

impl Moment {
    fn now() -> Result<Self> {
        let machine = fs::read_to_string("/proc/stat").ok().and_then(|text| parse(&text));
        let machine = machine.context("/proc/stat cannot be read")?;
        Ok(Self { at: Instant::now(), processes: Processes::now()?, machine })
    }
}

/// `/proc/stat`: a line for all cores together, then one for each.
fn parse(text: &str) -> Option<Machine> {
    let mut lines = text.lines().take_while(|line| line.starts_with("cpu"));
    let steal_ticks = lines.next()?.split_ascii_whitespace().nth(8)?.parse().ok()?;
    Some(Machine { steal_ticks, cores: lines.count() as u64 })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use super::{Machine, Window, parse};

    #[test]
    fn stolen_time_and_cores_are_read() {
        let text = "cpu  1 2 3 4 5 6 7 88 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\ncpu1 1 2 3 4 5 6 7 8 9 0\nintr 5\n";
        assert_eq!(parse(text), Some(Machine { steal_ticks: 88, cores: 2 }));
    }

    #[test]
    fn what_this_process_burns_is_its_own_and_not_foreign() {
        let us = [std::process::id()];
        let window = Window::open(&us, &[]).unwrap();
        let started = Instant::now();
        let mut sum = 0_u64;
        let before = super::Processes::now().unwrap().seconds(&us);
        // Until the kernel has counted it; how long that takes depends on who else runs.
        while super::Processes::now().unwrap().seconds(&us) - before < 0.2 {
            sum = (0..1_000_000).fold(sum, |sum, number| black_box(sum ^ number));
            assert!(started.elapsed() < Duration::from_mins(2), "the kernel counts no time");
        }
        let spent = window.close().unwrap();
        assert!(spent.server_seconds >= 0.2, "{spent:?}");
        assert!(spent.agent_seconds.abs() < f64::EPSILON && spent.foreign_percent >= 0.0, "{spent:?}");
    }
}
