//! What this process uses and may use, as Linux tells.

use std::fs;
use std::path::Path;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ceilings {
    pub(crate) memory_bytes: u64,
    pub(crate) descriptors: u64,
}

/// How much is used. What cannot be read counts as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Use {
    pub(super) memory_bytes: u64,
    pub(super) descriptors: u64,
}

impl Ceilings {
    /// What the process is given: `memory_bytes` if that is said, else the limit of its control group, else the memory
    /// of the machine; and its limit of open files.
    pub(crate) fn find(memory_bytes: Option<u64>) -> Self {
        let memory = || control_group_bytes().into_iter().chain(machine_bytes()).min();
        Self {
            memory_bytes: memory_bytes.or_else(memory).unwrap_or(u64::MAX),
            descriptors: open_files_max().unwrap_or(u64::MAX),
        }
    }
}

impl Use {
    pub(super) fn now() -> Self {
        Self { memory_bytes: resident_bytes().unwrap_or(0), descriptors: open_descriptors().unwrap_or(0) }
    }

    /// The scarcer of the two, in hundredths of its ceiling.
    pub(super) fn percent_of(self, ceilings: Ceilings) -> u64 {
        self.memory_percent_of(ceilings).max(percent(self.descriptors, ceilings.descriptors))
    }

    /// The memory, in hundredths of its ceiling.
    pub(super) fn memory_percent_of(self, ceilings: Ceilings) -> u64 {
        percent(self.memory_bytes, ceilings.memory_bytes)
    }
}

fn percent(used: u64, ceiling: u64) -> u64 {
    used.saturating_mul(100) / ceiling.max(1)
}

/// The size of a page on every machine that we run on by default. A larger one only makes the node look smaller.
const PAGE_BYTES: u64 = 4096;

fn resident_bytes() -> Option<u64> {
    // Kilobytes, whatever the page size; present since Linux 2.6.
    field("/proc/self/status", "VmRSS:").or_else(|| {
        let pages = fs::read_to_string("/proc/self/statm").ok()?;
        pages.split(' ').nth(1)?.parse::<u64>().ok()?.checked_mul(PAGE_BYTES)
    })
}

/// Since Linux 6.2 the folder's size is the number of descriptors; before, its entries are counted.
fn open_descriptors() -> Option<u64> {
    let folder = Path::new("/proc/self/fd");
    match fs::metadata(folder).ok()?.len() {
        0 => u64::try_from(fs::read_dir(folder).ok()?.count()).ok(),
        descriptors => Some(descriptors),
    }
}

fn open_files_max() -> Option<u64> {
    soft_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// The first number of `Max open files            1024                 1048576              files`.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The limit of the control group, of either version, where it is mounted as containers see it and where hosts do.
fn control_group_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_files(&groups).iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// Where limits may stand. A group's parents count too.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        for group in Path::new(path).ancestors() {
            files.push(format!("{root}{}/{name}", group.display().to_string().trim_end_matches('/')));
        }
    }
    files
}

fn machine_bytes() -> Option<u64> {
    field("/proc/meminfo", "MemTotal:")
}

/// A line `NAME   123 kB`, in bytes.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::fs::File;

    use super::{Ceilings, Use, limit_files, soft_limit};

    #[test]
    fn what_is_used_is_seen() {
        let before = Use::now();
        assert!(before.memory_bytes > 100_000, "{before:?}");
        let files: Vec<_> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
        // Other tests of this process may close some meanwhile, but not so many.
        assert!(Use::now().descriptors >= before.descriptors + 50, "{before:?} {:?}", Use::now());
        drop(files);
    }

    #[test]
    fn the_machine_has_ceilings() {
        let found = Ceilings::find(None);
        assert!(found.memory_bytes > 1 << 20 && found.memory_bytes < 1 << 50, "{found:?}");
        assert!(found.descriptors > 10, "{found:?}");
        assert_eq!(Ceilings::find(Some(7)), Ceilings { memory_bytes: 7, ..found });
    }

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let text = "Max processes             5 5 processes\nMax open files            1024 4096 files\n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files            unlimited unlimited files\n"), None);
        let groups = "3:cpu,cpuacct:/x\n2:memory:/a/b\n0::/system.slice/adit.service\nnonsense\n";
        assert_eq!(
            limit_files(groups),
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/system.slice/adit.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }
}
