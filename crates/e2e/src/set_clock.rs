//! A wall clock that a test sets while a program runs. Clocks that only go on are not touched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

/// Of Debian's package `libfaketime`; the folder is the architecture's.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The wall clock of one computer. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SetClock {
    library: PathBuf,
    ahead: PathBuf,
    _folder: std::sync::Arc<TempDir>,
}

impl SetClock {
    /// A clock that is right.
    pub fn new() -> Result<Self> {
        let folder = TempDir::with_prefix("adit-e2e-clock-").context("no folder for a clock")?;
        let clock = Self {
            library: library()?,
            ahead: folder.path().join("ahead"),
            _folder: std::sync::Arc::new(folder),
        };
        clock.set_ahead(0)?;
        Ok(clock)
    }

    /// Sets it so many seconds ahead of the truth, or behind.
    pub fn set_ahead(&self, seconds: i64) -> Result<()> {
        // Renamed, so that nobody reads half of it.
        let beside = self.ahead.with_extension("new");
        fs::write(&beside, format!("{seconds:+}\n")).context("the clock cannot be set")?;
        fs::rename(beside, &self.ahead).context("the clock cannot be set")
    }

    /// `command` gets this clock.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.ahead);
        command.envs([
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]);
    }
}

fn library() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("no /usr/lib")?.flatten();
    let mut found = folders.map(|folder| folder.path().join(LIBRARY)).filter(|path| Path::exists(path));
    let found = found.next();
    ensure!(found.is_some(), "{LIBRARY} is not below /usr/lib (Debian: libfaketime)");
    found.context("no library")
}
