//! The log: depth for those who look for it. What a user must know is told by events.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

use adit_process::log_lines::{LogFlush, LogLines};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use crate::args::{Log, LogFormat, LogLevel};

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("the log {} cannot be opened", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something else in this process logs already.
    #[error("the log is already running")]
    AlreadyRunning,
    /// The system gives no thread.
    #[error("the log cannot be written")]
    Thread(#[source] io::Error),
}

/// Where the log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// Standard output, in the place of the text for people.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, which is appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl Destination {
    /// What `--log` says; without it standard error.
    pub fn of(log: &Log) -> Self {
        match log.destination.as_deref() {
            None | Some("stderr") => Self::Stderr,
            Some("stdout") => Self::Stdout,
            Some("false") => Self::Off,
            Some(path) => Self::File(PathBuf::from(path)),
        }
    }
}

/// Starts the log, which waits for nobody. What this returns is held until the end: it waits for the last lines.
///
/// # Errors
/// See [`LogError`].
pub fn start(log: &Log) -> Result<Option<LogFlush>, LogError> {
    let started = match Destination::of(log) {
        Destination::Off => return Ok(None),
        Destination::Stdout => LogLines::start(io::stdout()),
        Destination::Stderr => LogLines::start(io::stderr()),
        Destination::File(path) => LogLines::start(open(path)?),
    };
    let (lines, flush) = started.map_err(LogError::Thread)?;
    let lines = tracing_subscriber::fmt()
        .with_max_level(level(log))
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(lines);
    match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::AlreadyRunning)?;
    Ok(Some(flush))
}

fn open(path: PathBuf) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    options.open(&path).map_err(|source| LogError::Open { path, source })
}

/// Without `--log` the log shares the terminal with the text for people: only what that text does not tell.
fn level(log: &Log) -> LevelFilter {
    match log.level {
        Some(LogLevel::Error) => LevelFilter::ERROR,
        Some(LogLevel::Info) => LevelFilter::INFO,
        Some(LogLevel::Debug) => LevelFilter::DEBUG,
        Some(LogLevel::Trace) => LevelFilter::TRACE,
        None if log.destination.is_some() => LevelFilter::INFO,
        Some(LogLevel::Warn) | None => LevelFilter::WARN,
    }
}
