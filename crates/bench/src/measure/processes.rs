//! Every process at one moment: whose child it is, and the CPU time that it took.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

/// Ticks per second in `/proc` (`USER_HZ`): 100 on every architecture of Linux, whatever the kernel's own is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The parent of all kernel threads.
const KERNEL: u32 = 2;

/// All processes of the machine, as far as they can be seen from here.
#[derive(Debug, Default)]
pub struct Processes(BTreeMap<u32, Process>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// CPU time of its own and of the children that it has waited for, so that none is lost when one ends.
    ticks: u64,
}

impl Processes {
    /// Looks now.
    pub fn now() -> Result<Self> {
        let folders = fs::read_dir("/proc").context("/proc cannot be read: benchmarks run on Linux")?;
        let pids = folders.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // A process that ends between the two readings is left out, as if it had ended before.
        let read = |pid: u32| Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?));
        Ok(Self(pids.filter_map(read).collect()))
    }

    /// A process and everything that descends from it.
    pub fn tree(&self, root: u32) -> Vec<u32> {
        let mut tree = vec![root];
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            tree.extend(self.0.iter().filter(|(_, child)| child.parent == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        tree
    }

    /// CPU seconds of these processes and all that descends from them.
    pub fn seconds(&self, roots: &[u32]) -> f64 {
        let ticks = |root: &u32| -> u64 { self.tree(*root).iter().map(|pid| self.ticks(*pid)).sum() };
        in_seconds(roots.iter().map(ticks).sum())
    }

    /// CPU seconds of everybody else's programs. The kernel's own threads are left out: what they do here is mostly done
    /// for the sockets that are measured.
    pub fn seconds_of_others(&self, root: u32) -> f64 {
        let ours = self.tree(root);
        let others = self
            .0
            .iter()
            .filter(|(pid, process)| !ours.contains(pid) && **pid != KERNEL && process.parent != KERNEL);
        in_seconds(others.map(|(_, process)| process.ticks).sum())
    }

    fn ticks(&self, pid: u32) -> u64 {
        self.0.get(&pid).map_or(0, |process| process.ticks)
    }
}

fn in_seconds(ticks: u64) -> f64 {
    crate::number::float(ticks) / TICKS_PER_SECOND
}

/// `/proc/PID/stat`: the name stands in brackets and may hold anything, so fields are counted from the last bracket.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Process { parent: u32::try_from(number(1)?).ok()?, ticks })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{Process, Processes, parse};

    fn processes(list: &[(u32, u32, u64)]) -> Processes {
        Processes(
            list.iter()
                .map(|(pid, parent, ticks)| (*pid, Process { parent: *parent, ticks: *ticks }))
                .collect(),
        )
    }

    #[test]
    fn a_line_is_read_whatever_the_name() {
        let line = "77 (a) b (c)) S 12 77 77 0 -1 4194560 100 200 0 0 30 4 5 60 20 0 1 0 1000 1 2";
        assert_eq!(parse(line), Some(Process { parent: 12, ticks: 99 }));
        assert_eq!(parse("77 (short) S 12"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_tree_is_counted_whole_and_others_without_the_kernel() {
        let all = processes(&[
            (1, 0, 700),
            (2, 0, 9),
            (3, 2, 9),
            (50, 1, 100),
            (51, 50, 20),
            (52, 51, 3),
            (60, 1, 40),
        ]);
        assert_eq!(all.tree(50), [50, 51, 52]);
        assert!((all.seconds(&[50]) - 1.23).abs() < 1e-9);
        assert!((all.seconds(&[51, 60]) - 0.63).abs() < 1e-9);
        assert!((all.seconds_of_others(50) - 7.4).abs() < 1e-9);
    }

    #[test]
    fn this_process_is_found_below_its_parent() {
        let all = Processes::now().unwrap();
        assert!(all.tree(std::os::unix::process::parent_id()).contains(&std::process::id()));
    }
}
