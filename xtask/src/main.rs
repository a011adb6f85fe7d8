//! The project's own commands: `cargo xtask try | test | fuzz | bench | ci | tidy | limits`.
//!
//! A tool for people and for CI, run on Unix-like machines. It holds no product logic.
#![forbid(unsafe_code)]

mod agent_size;
mod bench;
mod ci;
mod console;
mod debian;
mod fuzz;
mod interrupt;
mod job;
mod repo;
mod steps;
mod suite;
mod tidy;
mod trial;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::interrupt::Interrupt;
use crate::repo::Repo;

const USAGE: &str = "\
cargo xtask COMMAND

  try [--port N]      build what is needed, serve a demo page (or localhost:N) on a public URL until Ctrl-C
  test [--full]       every test; --full runs the large variants besides
  fuzz [--seconds N]  every decoder on hostile bytes, 20 seconds each unless said otherwise
  bench [--help]      a release build beside its peers under the same loads; --write puts the tables into the docs
  ci                  format, clippy, tidy, docs, size of the agent, then test
  tidy                the rules that the compiler does not hold
  limits              write docs/limits.md from every crate's limits.rs";

/// What the reader asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Try { port: Option<u16> },
    Test(suite::Tier),
    Fuzz { seconds: u32 },
    Bench { words: Vec<String> },
    Ci,
    Tidy,
    Limits,
    Help,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::problem(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = parse(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let repo = Repo::find()?;
    let interrupt = Interrupt::install()?;
    match command {
        Command::Try { port } => trial::run(&repo, &interrupt, port),
        Command::Test(tier) => suite::run(&repo, &interrupt, tier),
        Command::Fuzz { seconds } => fuzz::run(&repo, &interrupt, seconds),
        Command::Bench { words } => bench::run(&repo, &interrupt, &words),
        Command::Ci => ci::run(&repo, &interrupt),
        Command::Tidy => tidy::run(&repo),
        Command::Limits => tidy::write_limits_page(&repo),
        Command::Help => {
            console::line(USAGE);
            Ok(())
        }
    }
}

fn parse(words: &[&str]) -> Result<Command> {
    Ok(match words {
        ["try"] => Command::Try { port: None },
        ["try", "--port", port] => Command::Try { port: Some(parse_port(port)?) },
        ["test"] => Command::Test(suite::Tier::One),
        ["test", "--full"] => Command::Test(suite::Tier::Full),
        ["fuzz"] => Command::Fuzz { seconds: fuzz::SECONDS },
        ["fuzz", "--seconds", seconds] => Command::Fuzz { seconds: parse_seconds(seconds)? },
        ["bench", words @ ..] => Command::Bench { words: words.iter().copied().map(str::to_owned).collect() },
        ["ci"] => Command::Ci,
        ["tidy"] => Command::Tidy,
        ["limits"] => Command::Limits,
        [] | ["help" | "--help" | "-h"] => Command::Help,
        _ => bail!("unknown command `{}`\n\n{USAGE}", words.join(" ")),
    })
}

fn parse_port(text: &str) -> Result<u16> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => bail!("--port takes a number from 1 to 65535, not `{text}`"),
    }
}

fn parse_seconds(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(seconds) if seconds != 0 => Ok(seconds),
        _ => bail!("--seconds takes a number from 1, not `{text}`"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot parse has failed")]

    use super::{Command, parse};
    use crate::suite::Tier;

    #[test]
    fn commands_are_read_and_anything_else_is_refused() {
        assert_eq!(parse(&["try"]).unwrap(), Command::Try { port: None });
        assert_eq!(parse(&["try", "--port", "3000"]).unwrap(), Command::Try { port: Some(3000) });
        assert_eq!(parse(&["test", "--full"]).unwrap(), Command::Test(Tier::Full));
        assert_eq!(parse(&["fuzz", "--seconds", "5"]).unwrap(), Command::Fuzz { seconds: 5 });
        let words = vec!["--rtt".to_owned()];
        assert_eq!(parse(&["bench", "--rtt"]).unwrap(), Command::Bench { words });
        assert_eq!(parse(&[]).unwrap(), Command::Help);
        for wrong in [
            vec!["try", "--port"],
            vec!["try", "--port", "0"],
            vec!["fuzz", "--seconds", "0"],
            vec!["test", "--fast"],
            vec!["deploy"],
        ] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
