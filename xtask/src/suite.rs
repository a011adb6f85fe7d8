//! Every test of the workspace, with what they need around them.

use std::process::Command;

use adit_testkit::{POSTGRES_VARIABLE, Postgres};
use anyhow::{Context as _, Result};

use crate::console;
use crate::debian;
use crate::fuzz;
use crate::interrupt::Interrupt;
use crate::job;
use crate::repo::Repo;

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Every test, in the size that a developer waits for.
    One,
    /// The same tests and the large variants that they hold behind `ADIT_TEST_FULL`.
    Full,
}

/// What `--full` adds, said on every run so that nothing is skipped in silence.
const TIER_TWO: &str = "\
tier 2 holds besides (cargo xtask test --full):
  e2e: bodies of 1 GiB each way instead of 64 MiB
  property tests: 20,000 cases each instead of 256
  faults: more and longer ones under load; 1,000 agent sessions that come back, 10,000 idle visitors, 200,000 streams
  metering: thousands of exchanges, 20 kills, 12 handovers
  simulation: 2,500 seeds instead of 300
  a tunnel over twelve bad lines, from 1 to 100 Mbit/s, beside plain TCP, instead of over one
  fuzzing: every decoder for 20 seconds (cargo xtask fuzz)";

/// Cases per property test in the full run.
const PROPTEST_CASES_FULL: &str = "20000";

/// Installs what is missing, starts Postgres, builds the programs that end-to-end tests start, then tests.
pub fn run(repo: &Repo, interrupt: &Interrupt, tier: Tier) -> Result<()> {
    debian::ensure(&debian::FOR_TESTS, interrupt)?;
    match tier {
        Tier::One => console::line(TIER_TWO),
        Tier::Full => console::line("tier 2: the large variants run as well"),
    }
    // Programs and test binaries in one go: the features of dependencies agree, so nothing is built twice.
    let mut build = repo.cargo();
    build.args(["build", "--workspace", "--bins", "--tests"]);
    job::run("cargo build", &mut build, interrupt)?;
    let postgres = Postgres::start().context("the tests' Postgres does not start")?;
    let mut doc_tests = repo.cargo();
    doc_tests.args(["test", "--workspace", "--doc"]);
    job::run("doc tests", surroundings(&mut doc_tests, &postgres, tier), interrupt)?;
    let mut tests = runner(repo, tier);
    job::run("tests", surroundings(&mut tests, &postgres, tier), interrupt)?;
    if tier == Tier::Full { fuzz::run(repo, interrupt, fuzz::SECONDS) } else { Ok(()) }
}

/// nextest where it is installed, else cargo's own runner. Either prints its closing line last.
fn runner(repo: &Repo, tier: Tier) -> Command {
    let mut cargo = repo.cargo();
    if job::answers(repo.cargo().args(["nextest", "--version"])) {
        let profile = if tier == Tier::Full { "full" } else { "default" };
        cargo.args(["nextest", "run", "--workspace", "--no-fail-fast", "--profile", profile]);
    } else {
        cargo.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    }
    cargo
}

fn surroundings<'a>(command: &'a mut Command, postgres: &Postgres, tier: Tier) -> &'a mut Command {
    // End-to-end tests need not build what was just built.
    command.env(POSTGRES_VARIABLE, postgres.admin_url()).env("ADIT_TEST_BUILT", "1");
    if tier == Tier::Full {
        command.env("ADIT_TEST_FULL", "1").env("PROPTEST_CASES", PROPTEST_CASES_FULL);
    }
    command
}
