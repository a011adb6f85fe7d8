//! A list of timed steps, told as they go and summed up at the end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::console;

/// Runs steps one after another; the first failure ends the list.
#[derive(Debug, Default)]
pub struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs one step and notes how long it took.
    pub fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        console::step(name);
        let started = Instant::now();
        let result = work();
        let took = started.elapsed();
        self.done.push((name, took));
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        console::line(&format!("--- {name}: {verdict} in {}", seconds(took)));
        result.with_context(|| format!("step `{name}`"))
    }

    /// Prints every step with its time.
    pub fn sum_up(&self) {
        let width = self.done.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, took) in &self.done {
            console::line(&format!("  {name:width$}  {:>8}", seconds(*took)));
        }
        let total = self.done.iter().map(|(_, took)| *took).sum();
        console::line(&format!("  {:width$}  {:>8}", "total", seconds(total)));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
