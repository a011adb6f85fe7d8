//! Memory of programs.

use std::fs;

use anyhow::Result;

use super::processes::Processes;

/// Memory of some processes, in bytes. Pages that several share count in parts (PSS), so that workers are not counted as
/// if each had its own program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub all_bytes: u64,
    /// What they have allocated: without programs and libraries, whose share shrinks as more processes use them.
    pub own_bytes: u64,
}

impl Memory {
    /// Of these processes and all that descends from them.
    pub fn of(roots: &[u32]) -> Result<Self> {
        let processes = Processes::now()?;
        let of = |pid| {
            fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().and_then(|text| Self::parse(&text))
        };
        let trees = roots.iter().flat_map(|root| processes.tree(*root));
        Ok(trees.filter_map(of).fold(Self::default(), |sum, one| Self {
            all_bytes: sum.all_bytes + one.all_bytes,
            own_bytes: sum.own_bytes + one.own_bytes,
        }))
    }

    fn parse(rollup: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
        };
        Some(Self { all_bytes: bytes("Pss:")?, own_bytes: bytes("Pss_Anon:")? + bytes("Pss_Shmem:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn the_rollup_is_read() {
        let text = "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:    9000 kB\nPss:    8123 kB\nPss_Dirty:  5 kB\n\
                    Pss_Anon:  700 kB\nPss_File: 7420 kB\nPss_Shmem:  3 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { all_bytes: 8123 * 1024, own_bytes: 703 * 1024 }));
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
    }
}
