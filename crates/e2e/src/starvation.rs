//! A program that hardly gets a processor.

use std::time::Duration;

use adit_process::tasks::{Task, Tasks};
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How long it runs, and after that does not.
const RUNS: Duration = Duration::from_millis(10);
const STANDS: Duration = Duration::from_millis(90);

/// For as long as this is there, a program runs a tenth of the time, and is stopped the rest.
#[derive(Debug)]
pub struct Starvation {
    over: watch::Sender<bool>,
    ends: Task<Result<Duration>>,
}

impl Starvation {
    pub(crate) fn of(pid: Pid) -> Self {
        let (over, mut is_over) = watch::channel(false);
        let ends = Tasks::new("starvation").spawn("starvation", async move {
            let mut stood = Duration::ZERO;
            let starved = tokio::select! {
                starved = starve(pid, &mut stood) => starved,
                _ = is_over.wait_for(|over| *over) => Ok(()),
            };
            starved.and(send(pid, Signal::CONT))?;
            Ok(stood)
        });
        Self { over, ends }
    }

    /// It runs all the time again. Returns how long it has stood still, all in all.
    pub async fn end(self) -> Result<Duration> {
        self.over.send_replace(true);
        self.ends.await?
    }
}

async fn starve(pid: Pid, stood: &mut Duration) -> Result<()> {
    let (mut runs, mut stands) = (interval(RUNS), interval(STANDS));
    for pause in [&mut runs, &mut stands] {
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        send(pid, Signal::STOP)?;
        let stops = Instant::now();
        stands.reset();
        stands.tick().await;
        send(pid, Signal::CONT)?;
        *stood += stops.elapsed();
        runs.reset();
        runs.tick().await;
    }
}

fn send(pid: Pid, signal: Signal) -> Result<()> {
    kill_process(pid, signal).context("a program takes no signal")
}
