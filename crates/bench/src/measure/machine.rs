//! The machine that figures are from.

use std::fmt;
use std::fs;

/// What a reader must know of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
}

impl Machine {
    /// Reads it. What cannot be read is unknown.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text("/proc/cpuinfo"), &text("/proc/meminfo"), &text("/proc/sys/kernel/osrelease"))
    }

    fn parse(cpuinfo: &str, meminfo: &str, kernel: &str) -> Self {
        let values = |text: &str, name: &str| -> Vec<String> {
            let value = |line: &str| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned());
            text.lines().filter_map(value).collect()
        };
        let models = values(cpuinfo, "model name");
        let cores = values(cpuinfo, "processor").len();
        let memory_kib =
            values(meminfo, "MemTotal").first().and_then(|text| text.split(' ').next()?.parse().ok());
        let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        Self {
            cpu: known(models.first().map_or("", String::as_str)),
            cores,
            memory_gib: memory_kib.map_or(0, |kib: u64| (kib + (1 << 19)) >> 20),
            kernel: known(kernel.trim()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_gib, kernel } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}")
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn it_is_described_in_a_line() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU\n\nprocessor\t: 1\nmodel name\t: Some CPU\n";
        let machine = Machine::parse(cpuinfo, "MemTotal:       24684544 kB\nMemFree: 1 kB\n", "6.18.5\n");
        assert_eq!(machine.to_string(), "Some CPU, 2 cores, 24 GiB, Linux 6.18.5");
        assert_eq!(Machine::parse("", "", "").to_string(), "unknown, 0 cores, 0 GiB, Linux unknown");
    }
}
