//! The command line. `cargo xtask bench` fills in the folders.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::load::Load;
use crate::system::System;

/// Drives loads through Adit and its peers, one after another, and compares.
#[derive(Debug, Parser)]
#[command(name = "adit-bench")]
pub struct Arguments {
    #[command(subcommand)]
    pub part: Option<Part>,
    #[command(flatten)]
    pub run: Run,
}

/// What runs in a process of its own.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// The service behind all systems. It ends with its standard input.
    Origin,
}

/// What is run.
#[derive(Debug, Args)]
pub struct Run {
    /// Loads, by name or by what their names begin with, separated by commas [default: all but `rtt`]
    #[arg(long, value_name = "LOADS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Systems, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub repetitions: u32,
    /// The loads over far links instead of the others
    #[arg(long)]
    pub rtt: bool,
    /// A moment of each load, which shows that the tool works and measures nothing
    #[arg(long)]
    pub brief: bool,
    /// Write the tables into this page as well, between its marks
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// The folder with `aditd` and `adit`
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    pub programs: PathBuf,
    /// The folder with `rathole` and `bore`
    #[arg(long, value_name = "DIR", default_value = "target/bench/peers/bin")]
    pub peers: PathBuf,
}

impl Run {
    /// The loads, in their own order, each once.
    pub fn loads(&self) -> Result<Vec<Load>> {
        ensure!(self.repetitions > 0, "--repetitions takes a number from 1 on");
        if self.only.is_empty() {
            return Ok(if self.rtt { Load::FAR.to_vec() } else { Load::USUAL.to_vec() });
        }
        let mut asked = Vec::new();
        for word in &self.only {
            asked.extend(Load::parse(word.trim())?);
        }
        Ok(Load::USUAL.into_iter().chain(Load::FAR).filter(|load| asked.contains(load)).collect())
    }

    /// The systems, in their own order, each once.
    pub fn systems(&self) -> Result<Vec<System>> {
        let asked: Vec<System> =
            self.systems.iter().map(|name| System::parse(name.trim())).collect::<Result<_>>()?;
        Ok(System::ALL.into_iter().filter(|system| asked.is_empty() || asked.contains(system)).collect())
    }

    /// The command of the project that does the same.
    pub fn command(&self) -> String {
        let mut text = "cargo xtask bench".to_owned();
        for (flag, values) in [("--only", &self.only), ("--systems", &self.systems)] {
            if !values.is_empty() {
                text = format!("{text} {flag} {}", values.join(","));
            }
        }
        text = format!("{text} --repetitions {}", self.repetitions);
        for (flag, set) in [("--rtt", self.rtt), ("--brief", self.brief), ("--write", self.write.is_some())] {
            if set {
                text = format!("{text} {flag}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use clap::Parser as _;

    use super::{Arguments, Run};
    use crate::load::Load;
    use crate::system::System;

    fn run(words: &[&str]) -> Run {
        Arguments::try_parse_from([&["adit-bench"], words].concat()).unwrap().run
    }

    #[test]
    fn lists_are_read_in_their_own_order_and_said_again() {
        let given =
            run(&["--only", "upload,download-1,download-1", "--systems", "ssh,adit", "--repetitions", "1"]);
        assert_eq!(given.loads().unwrap(), [Load::Download(1), Load::Upload]);
        assert_eq!(given.systems().unwrap(), [System::Adit, System::Ssh]);
        assert_eq!(
            given.command(),
            "cargo xtask bench --only upload,download-1,download-1 --systems ssh,adit --repetitions 1"
        );
    }

    #[test]
    fn without_a_list_it_is_everything() {
        assert_eq!(run(&[]).loads().unwrap(), Load::USUAL);
        assert_eq!(run(&["--rtt"]).loads().unwrap(), Load::FAR);
        assert_eq!(run(&[]).systems().unwrap(), System::ALL);
        assert!(run(&["--only", "walk"]).loads().is_err());
        assert!(run(&["--systems", "caddy"]).systems().is_err());
        assert!(run(&["--repetitions", "0"]).loads().is_err());
    }
}
