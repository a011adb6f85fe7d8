//! Everything that must hold before a change lands.

use anyhow::Result;

use crate::agent_size;
use crate::interrupt::Interrupt;
use crate::job;
use crate::repo::Repo;
use crate::steps::Steps;
use crate::suite::{self, Tier};
use crate::tidy;

/// Format, clippy, tidy, docs, size of the agent, tests: cheap answers first.
pub fn run(repo: &Repo, interrupt: &Interrupt) -> Result<()> {
    let mut steps = Steps::default();
    let result = all(repo, interrupt, &mut steps);
    steps.sum_up();
    result
}

fn all(repo: &Repo, interrupt: &Interrupt, steps: &mut Steps) -> Result<()> {
    steps.run("fmt", || {
        job::run("cargo fmt --check", repo.cargo().args(["fmt", "--all", "--check"]), interrupt)
    })?;
    steps.run("tidy", || tidy::run(repo))?;
    steps.run("clippy", || {
        let mut clippy = repo.cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        job::run("cargo clippy", &mut clippy, interrupt)
    })?;
    steps.run("docs", || {
        let mut doc = repo.cargo();
        doc.args(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings");
        job::run("cargo doc", &mut doc, interrupt)
    })?;
    steps.run("agent size", || agent_size::check(repo, interrupt))?;
    steps.run("test", || suite::run(repo, interrupt, Tier::One))
}
