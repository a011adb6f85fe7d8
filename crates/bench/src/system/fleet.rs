//! Many agents of one system, each as a customer would run it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::program::Program;
use super::site::Site;
use crate::limits::{AGENTS_READY_WITHIN, AGENTS_STARTING_MAX, LOOK_EVERY};
use crate::visitor::Target;

/// An agent to be started.
#[derive(Debug)]
pub struct Recruit {
    /// How it is started.
    pub command: Command,
    /// What it says when it is connected.
    pub connected: &'static str,
}

/// Agents to be started, then agents that are connected.
#[derive(Debug)]
pub struct Fleet {
    recruits: Vec<Recruit>,
    programs: Vec<(Program, &'static str)>,
}

impl Fleet {
    /// These agents, not started yet.
    pub const fn new(recruits: Vec<Recruit>) -> Self {
        Self { recruits, programs: Vec::new() }
    }

    /// Starts them, a few at a time, and waits until each has said that it is connected.
    pub async fn connect(&mut self, site: &Site) -> Result<()> {
        let recruits = std::mem::take(&mut self.recruits);
        for (index, mut recruit) in recruits.into_iter().enumerate() {
            let name = format!("agent-{index}");
            let program = Program::start(&name, &mut recruit.command, site.folder())?;
            self.programs.push((program, recruit.connected));
            if (index + 1).is_multiple_of(AGENTS_STARTING_MAX) {
                self.until_connected(AGENTS_READY_WITHIN).await?;
            }
        }
        self.until_connected(AGENTS_READY_WITHIN).await
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.programs.len()
    }

    /// Fails if one has ended.
    pub fn check(&mut self) -> Result<()> {
        self.programs.iter_mut().try_for_each(|(program, _)| program.check())
    }

    async fn until_connected(&mut self, deadline: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            self.check()?;
            let waiting: Vec<&Program> = self
                .programs
                .iter()
                .filter(|(program, word)| !program.has_said(word))
                .map(|(p, _)| p)
                .collect();
            let Some(first) = waiting.first() else { return Ok(()) };
            ensure!(
                started.elapsed() < deadline,
                "{} of {} agents are not connected: {}",
                waiting.len(),
                self.programs.len(),
                first.last_words()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A tenant besides whose plan allows little, and who is visited too much.
pub struct Flooded {
    /// Its agent, to be connected.
    pub agent: Fleet,
    /// Where it is visited.
    pub target: Target,
    /// Where the same flood hits nobody.
    pub bystander: Bystander,
}

/// A server beside the system that has nothing to do with it.
pub struct Bystander {
    /// Where it is visited.
    pub target: Target,
    /// Runs until this is dropped.
    pub program: Program,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (program, _) in &mut self.programs {
            program.ask_to_end();
        }
    }
}
