//! Log lines to standard error, as text for people or as JSON for machines.

use std::cell::Cell;
use std::io;
use std::panic::{self, PanicHookInfo};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::log_lines::{LogFlush, LogLines};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// One line for a person to read.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why telemetry could not start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not a list of `target=level` directives.
    #[error("the log filter `{filter}` is not valid")]
    Filter {
        /// What was given.
        filter: String,
        /// Where it goes wrong.
        source: ParseError,
    },
    /// Telemetry was started before in this process.
    #[error("telemetry is already running in this process")]
    AlreadyRunning(#[source] TryInitError),
    /// The system gives no thread.
    #[error("the log cannot be written")]
    Thread(#[source] io::Error),
}

/// Starts logging for the whole process and sends panics to the same log. `filter` is a list of directives such as
/// `info` or `warn,adit_server=debug`; the caller has it from its configuration, this never reads the environment.
///
/// What logs does not wait for the output: see [`LogLines`]. What this returns is held to the end of the program.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(format: Format, filter: &str) -> Result<LogFlush, TelemetryError> {
    let directives = EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let (lines, flush) = LogLines::start(io::stderr()).map_err(TelemetryError::Thread)?;
    // What goes wrong with the log is not said where the log goes: that would panic.
    let lines =
        tracing_subscriber::fmt().with_env_filter(directives).log_internal_errors(false).with_writer(lines);
    let started = match format {
        Format::Text => lines.with_ansi(false).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(TelemetryError::AlreadyRunning)?;
    // The default hook writes plain text, which would break a log of JSON lines.
    panic::set_hook(Box::new(log_panic));
    Ok(flush)
}

thread_local! {
    static IS_LOGGING_PANIC: Cell<bool> = const { Cell::new(false) };
}

/// A panic in here would be the end of the process, so what is logged here is logged once.
fn log_panic(info: &PanicHookInfo<'_>) {
    if IS_LOGGING_PANIC.replace(true) {
        return;
    }
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("no message");
    tracing::error!(location, message, "panic");
    IS_LOGGING_PANIC.set(false);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Format, TelemetryError, init};

    #[test]
    fn a_bad_filter_is_named_and_a_second_start_is_refused() {
        let bad = init(Format::Json, "adit=loud").unwrap_err();
        assert!(matches!(bad, TelemetryError::Filter { .. }));
        assert!(bad.to_string().contains("adit=loud"));

        let _flush = init(Format::Text, "warn,adit_process=info").unwrap();
        assert!(matches!(init(Format::Json, "info"), Err(TelemetryError::AlreadyRunning(_))));
    }
}
