//! The program under test, as another program sees it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use adit_domain::ApiKey;
use adit_process::tasks::{Task, Tasks};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::fake::{FakeServer, PATIENCE};

/// A computer with nothing of Adit on it, and a key that must never be seen.
pub struct Home {
    pub folder: TempDir,
    pub key: ApiKey,
    environment: Vec<(&'static str, String)>,
}

/// The program, running.
pub struct Program {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Task<String>,
    seen: String,
    key: ApiKey,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = vec![("HOME", folder.path().display().to_string())];
        Self { folder, key: ApiKey::generate().unwrap(), environment }
    }

    /// With the key and the server in the environment.
    pub fn of(server: &FakeServer) -> Self {
        let mut home = Self::new();
        home.set("ADIT_AUTHTOKEN", home.key.expose().to_owned());
        home.set("ADIT_SERVER", server.address());
        home.set("ADIT_CA_FILE", server.ca_file.display().to_string());
        home
    }

    pub fn set(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join(".config/adit/adit.toml")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(arguments).env_clear().envs(self.environment.clone()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Program {
        let mut child = self.command(arguments).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        // Read all along: a full pipe would hold the program up.
        let stderr = Tasks::new("test").spawn("stderr", read(child.stderr.take().unwrap()));
        Program { child, stdout, stderr, seen: String::new(), key: self.key.clone() }
    }

    /// With one connection, events as JSON, and a log that tells everything.
    pub fn http(&self, upstream: &str, more: &[&str]) -> Program {
        self.http_over("1", upstream, more)
    }

    /// The same with so many connections.
    pub fn http_over(&self, connections: &str, upstream: &str, more: &[&str]) -> Program {
        let log = ["--log", "stderr", "--log-level", "trace"];
        let flags = [&["http", upstream, "--json", "--connections", connections][..], &log].concat();
        self.start(&[&flags, more].concat())
    }

    /// Runs to the end with this on standard input.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that does not read its input has closed it.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let ended = Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert_hidden(&self.key, &ended);
        ended
    }
}

impl Program {
    pub async fn line(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.stdout.next_line()).await.unwrap().unwrap()?;
        self.seen.push_str(&line);
        self.seen.push('\n');
        Some(line)
    }

    /// The next event, which must be this one.
    pub async fn event(&mut self, name: &str) -> Value {
        let event: Value = serde_json::from_str(&self.line().await.unwrap_or_default()).unwrap();
        assert_eq!(event["event"], name, "{event}");
        event
    }

    /// The next event of this name, whatever comes before it.
    pub async fn event_at_last(&mut self, name: &str) -> Value {
        loop {
            let event: Value = serde_json::from_str(&self.line().await.unwrap()).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Nobody reads its output from now on.
    pub fn close_stdout(self) -> Child {
        self.child
    }

    /// Waits for its end. The key was in nothing that it said.
    pub async fn ended(mut self) -> Ended {
        while self.line().await.is_some() {}
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        let stderr = timeout(PATIENCE, self.stderr).await.unwrap().unwrap();
        let ended = Ended { code: status.code(), stdout: self.seen, stderr };
        assert_hidden(&self.key, &ended);
        ended
    }
}

impl Ended {
    /// The last event.
    pub fn last_event(&self) -> Value {
        serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap()
    }
}

async fn read(mut stderr: ChildStderr) -> String {
    let mut text = String::new();
    stderr.read_to_string(&mut text).await.unwrap();
    text
}

fn assert_hidden(key: &ApiKey, ended: &Ended) {
    // A part of it is as bad as all of it.
    let canary = &key.expose()[5..25];
    assert!(!ended.stdout.contains(canary) && !ended.stderr.contains(canary), "the key was shown: {ended:?}");
}

/// Not a wait for something to happen: the longest time that something may take.
pub const ONE_SECOND: Duration = Duration::from_secs(1);
