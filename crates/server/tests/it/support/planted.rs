//! A log in which a mistake is planted: whoever logs a certain line next panics, in whatever task that is.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged on this thread, on which a test's tasks are.
#[derive(Clone, Default)]
pub struct PlantedLog(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    text: String,
    planted: Option<&'static str>,
}

impl PlantedLog {
    pub fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let filter = EnvFilter::new("adit_server=debug,adit_net=debug,adit_process=error");
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
        let guard = tracing::subscriber::set_default(lines.with_writer(log.clone()).finish());
        (log, guard)
    }

    /// Whoever logs a line with `text` in it next panics.
    pub fn plant(&self, text: &'static str) {
        self.0.lock().unwrap().planted = Some(text);
    }

    /// Waits until the operator was told of so many tasks that panicked, the last of which had this name.
    pub async fn told(&self, task: &str, panics: u64) {
        let is_told = |line: &str| {
            let fields = [format!("task=\"{task}\""), format!("panics={panics}")];
            line.contains("a task panicked") && fields.iter().all(|field| line.contains(field))
        };
        let told = async {
            while !self.text().lines().any(is_told) {
                yield_now().await;
            }
        };
        timeout(Duration::from_mins(1), told).await.unwrap_or_else(|_| panic!("{}", self.text()));
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().text.clone()
    }

    /// Panics if this line is the one that was waited for.
    fn take(&self, line: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let line = String::from_utf8_lossy(line);
        state.text.push_str(&line);
        let is_awaited = state.planted.take_if(|text| line.contains(*text)).is_some();
        drop(state);
        assert!(!is_awaited, "a planted panic");
    }
}

impl Write for PlantedLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for PlantedLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
