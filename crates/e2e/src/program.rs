//! One running program of a test.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use adit_testkit::ledger::{Held, Slack};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::NamedTempFile;
use tokio::process::{Child, ChildStdout, Command};

use crate::limits::GIVEN_BACK_WITHIN;
use crate::starvation::Starvation;
use crate::wait::{until, within};

/// How long a killed program may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How much of another program's memory is looked at in one go.
const MEMORY_PIECE_BYTES: usize = 1024 * 1024;

/// In which Linux tells how long a program has worked.
const TICKS_PER_S: u64 = 100;

/// Of a longer log only the end is printed.
const LOG_BYTES_PRINTED_MAX: usize = 128 * 1024;

/// A running program. Dropping it kills it, waits until it is gone, and prints what it wrote; the runner shows that when the test fails.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    pid: Pid,
    log: NamedTempFile,
}

impl Program {
    /// Starts `command`. What it writes is kept.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let log = NamedTempFile::new().context("no file for a log")?;
        let output = File::options().append(true).open(log.path()).context("the log cannot be written")?;
        command.stdout(output);
        Self::spawn(name, command, log)
    }

    /// The same, but its standard output is for the caller to read.
    pub fn start_for_reading(name: &'static str, mut command: Command) -> Result<(Self, ChildStdout)> {
        let log = NamedTempFile::new().context("no file for a log")?;
        command.stdout(Stdio::piped());
        let mut program = Self::spawn(name, command, log)?;
        let output = program.child.stdout.take().context("no output")?;
        Ok((program, output))
    }

    fn spawn(name: &'static str, mut command: Command, log: NamedTempFile) -> Result<Self> {
        let errors = File::options().append(true).open(log.path()).context("the log cannot be written")?;
        let child = command.stdin(Stdio::null()).stderr(errors).kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("{name} does not start"))?;
        let raw = child.id().and_then(|id| i32::try_from(id).ok()).context("no process id")?;
        let pid = Pid::from_raw(raw).context("process id 0")?;
        Ok(Self { name, child, pid, log })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("{} takes no signal", self.name))
    }

    /// From now on it hardly gets a processor.
    #[must_use]
    pub fn starve(&self) -> Starvation {
        Starvation::of(self.pid)
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        within("a killed program is gone", GONE_WITHIN, self.child.kill()).await??;
        Ok(())
    }

    /// Waits for its end.
    pub async fn end(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        Ok(within(&what, deadline, self.child.wait()).await??)
    }

    /// Whether it runs.
    pub fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What everybody on this computer can see of how it was started.
    pub fn command_line(&self) -> Result<String> {
        let bytes =
            fs::read(self.folder().join("cmdline")).with_context(|| format!("{} is gone", self.name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether `needle` stands anywhere in what it has in memory now.
    pub fn memory_holds(&self, needle: &[u8]) -> Result<bool> {
        let folder = self.folder();
        let maps = fs::read_to_string(folder.join("maps")).context("no maps")?;
        let memory = File::open(folder.join("mem")).context("its memory cannot be read")?;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let (from, to) = range.split_once('-').context("no range")?;
            let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
            if rights.starts_with("rw") && piece_holds(&memory, from, to, needle) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The most memory that it has ever had resident, in bytes.
    pub fn peak_resident_bytes(&self) -> Result<u64> {
        Ok(self.status("VmHWM")? * 1024)
    }

    /// What it holds now.
    pub fn held(&self) -> Result<Held> {
        let descriptors = fs::read_dir(self.folder().join("fd")).context("no descriptors")?.count() as u64;
        let (threads, resident_bytes) = (self.status("Threads")?, self.status("VmRSS")? * 1024);
        Ok(Held { descriptors, threads, resident_bytes })
    }

    /// K6 of the ledgers: waits until it holds no more than before, and what it may keep.
    pub async fn gives_back(&self, before: Held, slack: Slack) -> Result<()> {
        let mut leaked = Vec::new();
        let given_back = until("everything is given back", GIVEN_BACK_WITHIN, || {
            let now = self.held();
            leaked = now.map_or_else(|gone| vec![format!("{gone:#}")], |now| before.leaked(&now, slack));
            std::future::ready(leaked.is_empty())
        });
        let given_back = given_back.await;
        given_back.with_context(|| format!("{}: {leaked:?}", self.name))
    }

    /// How long processors have worked for it.
    pub fn worked(&self) -> Result<Duration> {
        let times = fs::read_to_string(self.folder().join("stat")).context("no times")?;
        // Its name stands in brackets, and may hold anything.
        let (_, fields) = times.rsplit_once(')').context("no name")?;
        let spent = fields.split_whitespace().skip(11).take(2);
        let ticks = spent.map(str::parse::<u64>).sum::<Result<u64, _>>().context("a time is no number")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
    }

    /// It can open no descriptor more than it has open. None lets it open as many as before.
    pub fn limit_descriptors(&self, to: Option<u64>) -> Result<()> {
        let now = getrlimit(Resource::Nofile);
        let current = to.or(now.current);
        let limit = Rlimit { current, maximum: now.maximum };
        prlimit(Some(self.pid), Resource::Nofile, limit).context("its limit cannot be set")?;
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.pid.as_raw_nonzero()))
    }

    /// A number in its status.
    fn status(&self, what: &str) -> Result<u64> {
        let status = fs::read_to_string(self.folder().join("status"));
        let status = status.with_context(|| format!("{} is gone", self.name))?;
        let mut numbers = status.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let number = numbers.next().with_context(|| format!("no {what}"))?;
        number.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("{what} is no number"))
    }

    /// How many files it may have open: the limit in force, and the one up to which it may raise that.
    pub fn open_files_max(&self) -> Result<[u64; 2]> {
        let path = format!("/proc/{}/limits", self.pid.as_raw_nonzero());
        let limits = fs::read_to_string(&path).with_context(|| format!("{} is gone", self.name))?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("no limit")?;
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
        let mut next = || numbers.next().context("no limit");
        Ok([next()?, next()?])
    }

    /// What it has written so far and nobody read.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log.path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// Looks through one mapping. What cannot be read, as where it is gone by now, holds nothing.
fn piece_holds(memory: &File, from: u64, to: u64, needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let mut piece = vec![0; MEMORY_PIECE_BYTES + needle.len()];
    let mut at = from;
    while at < to {
        let room = usize::try_from(to - at).unwrap_or(usize::MAX).min(piece.len());
        let Some(window) = piece.get_mut(..room) else { return false };
        let Ok(read) = memory.read_at(window, at) else { return false };
        let bytes = window.get(..read).unwrap_or_default();
        let mut starts = bytes.iter().enumerate().filter(|(_, byte)| *byte == first);
        if starts.any(|(start, _)| bytes.get(start + 1..).is_some_and(|after| after.starts_with(rest))) {
            return true;
        }
        if read <= needle.len() {
            return false;
        }
        // The next piece begins within this one, so that nothing falls between two.
        at += u64::try_from(read - needle.len()).unwrap_or(u64::MAX);
    }
    false
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "the runner captures it and shows it when the test fails")]
    fn drop(&mut self) {
        // An error here means that it has ended already.
        drop(self.child.start_kill());
        let deadline = Instant::now() + GONE_WITHIN;
        while !self.gone() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let log = self.log();
        let from = log.len().saturating_sub(LOG_BYTES_PRINTED_MAX);
        let tail = log.get(log.ceil_char_boundary(from)..).unwrap_or_default();
        eprintln!("--- log of {} ({}) ---\n{tail}--- end ---", self.name, self.pid.as_raw_nonzero());
    }
}
