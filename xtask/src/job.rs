//! Child processes that always end: by themselves, asked to, or with this program.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::Interrupt;

/// How often a waiting loop looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a child may take to end once it was asked, before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A running child. Dropping it asks it to end with SIGTERM, and kills it where that does not help.
#[derive(Debug)]
pub struct Job {
    name: &'static str,
    child: Child,
}

impl Job {
    /// Starts a command under a name for messages.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot look after {}", self.name))
    }

    /// Waits for it to end by itself. When the program is interrupted meanwhile, the child is ended too.
    pub fn wait(mut self, interrupt: &Interrupt) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return if interrupt.requested() { bail!("interrupted") } else { Ok(status) };
            }
            if interrupt.requested() {
                // At a terminal the child got the signal as well and is on its way out.
                self.ended_within(Duration::from_secs(2));
                bail!("interrupted");
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Asks it to end, waits, and kills it where it does not. Ending twice is harmless.
    pub fn end(&mut self) {
        if self.ended_within(Duration::ZERO) {
            return;
        }
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended since we looked; its number is not given away before we have waited for it.
            let _already_gone = kill_process(pid, Signal::TERM);
        }
        if !self.ended_within(END_WITHIN) {
            let _already_gone = self.child.kill();
            let _status = self.child.wait();
        }
    }

    fn ended_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a command whose output the reader sees, to its end; anything but success is an error that names it.
pub fn run(name: &'static str, command: &mut Command, interrupt: &Interrupt) -> Result<()> {
    let status = Job::start(name, command.stdin(Stdio::null()))?.wait(interrupt)?;
    if status.success() { Ok(()) } else { bail!("{name} failed ({status})") }
}

/// Runs a short command and returns what it wrote to stdout; anything but success is an error with its stderr.
pub fn output(name: &str, command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} wrote something that is not text"))
}

/// Whether a program answers at all, for instance to `--version`.
pub fn answers(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot start `sh` has failed")]

    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{Job, output, run};
    use crate::interrupt::Interrupt;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run("the false one", &mut shell("exit 3"), &Interrupt::default()).unwrap_err();
        assert!(format!("{error:#}").contains("the false one"));
        assert_eq!(output("echo", &mut shell("echo hi")).unwrap(), "hi\n");
        assert!(output("shout", &mut shell("echo why >&2; exit 1")).unwrap_err().to_string().contains("why"));
    }

    #[test]
    fn a_dropped_job_has_ended_even_if_it_was_told_to_run_for_long() {
        let started = Instant::now();
        let job = Job::start("a sleeper", &mut shell("exec sleep 600")).unwrap();
        drop(job);
        assert!(started.elapsed() < Duration::from_secs(9), "asked, not killed after the deadline");
    }
}
