//! A running `adit`, and the computer that it runs on.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::limits::EVENT_WITHIN;
use crate::network;
use crate::program::Program;
use crate::programs;
use crate::set_clock::SetClock;
use crate::stack::{Key, Stack};
use crate::wait::within;

/// No event for so long: all of them have been read.
const CAUGHT_UP_AFTER: Duration = Duration::from_millis(300);

/// The configuration file in a home folder.
const CONFIG: &str = "adit.toml";

/// A computer that runs agents: a home folder with what agents keep there, a server and an API key.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    ca_file: PathBuf,
    /// The environment variable `ADIT_SERVER`.
    pub server: String,
    /// The environment variable `ADIT_AUTHTOKEN`.
    pub authtoken: Option<String>,
    /// The network namespace that agents run in, where it is not the test's.
    pub inside: Option<String>,
    /// A clock that the test sets, where it is not the machine's.
    pub clock: Option<SetClock>,
}

impl Home {
    /// A new home for agents of this key.
    pub fn new(stack: &Stack, key: &Key) -> Result<Self> {
        let folder = TempDir::with_prefix("adit-e2e-home-").context("no home folder")?;
        // The configuration file is named in the environment, so it must be there.
        let config =
            File::options().write(true).create_new(true).mode(0o600).open(folder.path().join(CONFIG));
        config.context("no configuration file")?;
        Ok(Self {
            folder,
            ca_file: stack.ca_file().to_path_buf(),
            server: format!("{}:{}", stack.app_host(), stack.https().port()),
            authtoken: Some(key.secret.clone()),
            inside: None,
            clock: None,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `adit http UPSTREAM --json`, and with a name `--url NAME`.
    pub fn http(&self, upstream: &str, name: Option<&str>) -> Result<Agent> {
        let mut arguments = vec!["http", upstream, "--json"];
        arguments.extend(name.iter().flat_map(|name| ["--url", name]));
        self.adit(&arguments)
    }

    /// Starts `adit ARGUMENTS`.
    pub fn adit(&self, arguments: &[&str]) -> Result<Agent> {
        let (program, output) = Program::start_for_reading("adit", self.command(arguments)?)?;
        Ok(Agent { program, lines: BufReader::new(output).lines(), seen: Vec::new() })
    }

    /// `adit ARGUMENTS` as a command. Nothing of the developer's environment leaks in.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = match &self.inside {
            Some(namespace) => network::inside(namespace, &programs::adit()?),
            None => Command::new(programs::adit()?),
        };
        command.env_clear().args(arguments).current_dir(self.path()).env("HOME", self.path());
        command.env("ADIT_SERVER", &self.server).env("ADIT_CA_FILE", &self.ca_file);
        command.env("ADIT_CONFIG", self.path().join(CONFIG));
        if let Some(authtoken) = &self.authtoken {
            command.env("ADIT_AUTHTOKEN", authtoken);
        }
        if let Some(clock) = &self.clock {
            clock.give(&mut command);
        }
        Ok(command)
    }
}

/// A running agent, and the events that it prints, one JSON object in a line.
#[derive(Debug)]
pub struct Agent {
    program: Program,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<Value>,
}

impl Agent {
    /// Waits until the public URL is the agent's, and returns it.
    pub async fn url(&mut self) -> Result<String> {
        let event = self.event("url_assigned", EVENT_WITHIN).await?;
        Ok(event["url"].as_str().context("no URL")?.to_owned())
    }

    /// Waits until the public URL is the agent's, and returns its host name.
    pub async fn hostname(&mut self) -> Result<String> {
        let event = self.event("url_assigned", EVENT_WITHIN).await?;
        Ok(event["hostname"].as_str().context("no host name")?.to_owned())
    }

    /// The next event of this name. Events before it are passed over, and kept in what [`Agent::seen`] returns.
    pub async fn event(&mut self, name: &str, deadline: Duration) -> Result<Value> {
        let found = within(&format!("the agent says `{name}`"), deadline, self.find(name)).await;
        found.and_then(|found| found).with_context(|| format!("events so far: {:#?}", self.seen))
    }

    /// Waits until it has all the connections that it wants.
    pub async fn connected(&mut self) -> Result<()> {
        let is_all = |event: &Value| event["event"] == "connections" && event["open"] == event["wanted"];
        while !self.seen.iter().any(is_all) {
            self.event("connections", EVENT_WITHIN).await?;
        }
        Ok(())
    }

    /// Reads the events that are there already.
    pub async fn catch_up(&mut self) -> Result<()> {
        while let Ok(next) = timeout(CAUGHT_UP_AFTER, self.next()).await {
            if next?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads all events to the end, waits for it and returns the exit status. A signal that ended it is an error.
    pub async fn exit(&mut self, deadline: Duration) -> Result<i32> {
        let rest = async {
            while self.next().await?.is_some() {}
            anyhow::Ok(())
        };
        let read = within("the agent ends", deadline, rest).await;
        read.and_then(|read| read).with_context(|| format!("events so far: {:#?}", self.seen))?;
        let status = self.program.end(EVENT_WITHIN).await?;
        status.code().with_context(|| format!("the agent ended by a signal: {status}"))
    }

    /// All events so far.
    #[must_use]
    pub fn seen(&self) -> &[Value] {
        &self.seen
    }

    /// Whether an event of this name has been read.
    #[must_use]
    pub fn has_said(&self, name: &str) -> bool {
        self.seen.iter().any(|event| event["event"] == name)
    }

    /// The running program.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    async fn find(&mut self, name: &str) -> Result<Value> {
        while let Some(event) = self.next().await? {
            if event["event"] == name {
                return Ok(event);
            }
        }
        anyhow::bail!("the agent ended: {}", self.program.log())
    }

    /// Cancel safe, as [`Lines::next_line`] is.
    async fn next(&mut self) -> Result<Option<Value>> {
        let Some(line) = self.lines.next_line().await? else { return Ok(None) };
        let event: Value = serde_json::from_str(&line).with_context(|| format!("no JSON: {line:?}"))?;
        ensure!(event["event"].is_string(), "no event: {line:?}");
        self.seen.push(event.clone());
        Ok(Some(event))
    }
}
