//! One program of a system.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::limits::{END_WITHIN, LINES_OF_LOG_MAX};
use crate::measure::Processes;

/// A running program and what it started. Dropping it ends them all.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it. What it writes goes into a log in `folder`.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("{} is lost", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}): {}", self.name, self.last_words()),
        }
    }

    /// Whether its log has this text.
    pub fn has_said(&self, text: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text))
    }

    /// The last lines of its log, in one.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LINES_OF_LOG_MAX)..).unwrap_or_default().join(" / ")
    }

    /// Asks it and what it started to end, so that several can end at once; [`Drop`] waits.
    pub fn ask_to_end(&mut self) -> Vec<u32> {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return Vec::new();
        }
        let tree = Processes::now().map_or_else(|_| vec![self.id()], |all| all.tree(self.id()));
        for pid in &tree {
            send(*pid, Signal::TERM);
        }
        tree
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let tree = self.ask_to_end();
        let deadline = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            for pid in &tree {
                send(*pid, Signal::KILL);
            }
            drop(self.child.wait());
        }
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        // It may have ended by itself.
        let _already_gone = kill_process(pid, signal);
    }
}

/// Runs a short command to its end and returns what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed ({}): {}", output.status, errors.trim());
    String::from_utf8(output.stdout).with_context(|| format!("{name} wrote something that is not text"))
}

/// The first line in which a program says its version, on either stream.
pub fn version(program: &Path, flag: &str) -> String {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let first = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).lines().next()?.trim().to_owned());
    let line = output.ok().and_then(|output| first(&output.stdout).or_else(|| first(&output.stderr)));
    line.filter(|line| !line.is_empty()).unwrap_or_else(|| format!("{} is not there", program.display()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{Program, output, version};
    use crate::measure::Processes;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_dropped_program_is_gone_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::start("sleepers", &mut shell("sleep 600 & sleep 600 & wait"), folder.path()).unwrap();
        let started = Instant::now();
        while Processes::now().unwrap().tree(program.id()).len() < 3 {
            assert!(started.elapsed() < Duration::from_mins(1), "the children do not start");
        }
        let tree = Processes::now().unwrap().tree(program.id());
        drop(program);
        let alive = |pid: &u32| {
            let stat =
                std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while tree.iter().any(alive) {
            assert!(started.elapsed() < Duration::from_mins(1), "children stay");
        }
    }

    #[test]
    fn one_that_ends_is_an_error_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut program =
            Program::start("failing", &mut shell("echo no port >&2; exit 3"), folder.path()).unwrap();
        let started = Instant::now();
        let error = loop {
            match program.check() {
                Err(error) => break error.to_string(),
                Ok(()) => assert!(started.elapsed() < Duration::from_mins(1), "it does not end"),
            }
        };
        assert!(error.contains("failing") && error.contains("no port"), "{error}");
        assert!(program.has_said("no port"));
    }

    #[test]
    fn output_and_versions_are_read() {
        assert_eq!(output(&mut shell("echo hi")).unwrap(), "hi\n");
        assert!(output(&mut shell("echo why >&2; exit 1")).unwrap_err().to_string().contains("why"));
        assert!(version(Path::new("adit-is-not-a-program"), "-v").contains("is not there"));
    }
}
