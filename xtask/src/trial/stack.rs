//! aditd and an agent on a temporary folder, from nothing to a public URL.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::probe::{self, Answer};
use crate::interrupt::Interrupt;
use crate::job::{self, Job, LOOK_EVERY};

/// How long each of the two programs may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Lines of a log that are shown when its program dies.
const LAST_LINES: usize = 20;

/// What the reader's environment must not decide here.
const FOREIGN: [&str; 5] = ["DATABASE_URL", "ADIT_AUTHTOKEN", "ADIT_SERVER", "ADIT_CA_FILE", "ADIT_CONFIG"];

/// The running programs. Dropping it ends them, the agent first, and removes the folder.
#[derive(Debug)]
pub struct Stack {
    agent: Job,
    server: Job,
    place: Place,
    public: Public,
    port: u16,
    agent_program: PathBuf,
    folder: TempDir,
}

/// Where aditd serves, as its ready file says.
#[derive(Debug)]
struct Place {
    https_port: u16,
    http_port: u16,
    app_host: String,
    ca_file: PathBuf,
}

/// What the agent got.
#[derive(Debug)]
struct Public {
    url: String,
    host: String,
}

impl Stack {
    /// Starts aditd, creates a tenant and a key, starts an agent for a port of this machine, and waits for its URL.
    /// Both programs are in the folder `programs`.
    pub fn start(programs: &Path, interrupt: &Interrupt, port: u16) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("adit-try-").tempdir().context("no temporary folder")?;
        let (aditd, agent_program) = (programs.join("aditd"), programs.join("adit"));
        let data = folder.path().join("data");

        let mut server = start_server(&aditd, folder.path(), &data)?;
        let ready =
            wait_for(&mut server, folder.path(), interrupt, || json(&folder.path().join("ready.json")))?;
        let place = Place::of(&ready).context("aditd's ready file is not as expected")?;
        admin(&aditd, &data, &["tenant", "create", "try"])?;
        let key = admin(&aditd, &data, &["apikey", "create", "--tenant", "try", "--name", "try"])?;
        let key = key.get("key").and_then(Value::as_str).context("aditd admin printed no key")?;
        write_config(&config_in(folder.path()), key, &place)?;

        let mut agent = start_agent(&agent_program, folder.path(), port)?;
        let events = folder.path().join("agent.events");
        let public = wait_for(&mut agent, folder.path(), interrupt, || Public::from_events(&events))?;
        Ok(Self { agent, server, place, public, port, agent_program, folder })
    }

    /// Waits until the public URL brings the upstream's answer, or the agent's that nothing listens.
    pub fn until_it_serves(&mut self, interrupt: &Interrupt, mark: Option<&str>) -> Result<Answer> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match probe::http(&self.public.host, self.place.http_port, mark) {
                Ok(answer)
                    if answer == Answer::Served || (mark.is_none() && answer == Answer::NoUpstream) =>
                {
                    return Ok(answer);
                }
                Ok(other) if Instant::now() >= deadline => bail!("the public URL does not serve: {other:?}"),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error.context("the public URL does not serve"));
                }
                Ok(_) | Err(_) => {}
            }
            self.check(interrupt)?;
            sleep(LOOK_EVERY);
        }
    }

    /// Returns when the program is asked to end; a program of the stack that ends before is an error.
    pub fn serve_until(&mut self, interrupt: &Interrupt) -> Result<()> {
        while !interrupt.requested() {
            if let Err(error) = self.check(interrupt) {
                return if interrupt.requested() { Ok(()) } else { Err(error) };
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn check(&mut self, interrupt: &Interrupt) -> Result<()> {
        alive(&mut self.server, self.folder.path(), interrupt)?;
        alive(&mut self.agent, self.folder.path(), interrupt)
    }

    /// The public URL on the development listener.
    pub fn http_url(&self) -> String {
        format!("http://{}:{}", self.public.host, self.place.http_port)
    }

    /// The public URL as the agent prints it.
    pub fn https_url(&self) -> String {
        self.public.url.clone()
    }

    /// The development CA.
    pub fn ca_file(&self) -> &Path {
        &self.place.ca_file
    }

    /// The agent's configuration, good for more agents.
    pub fn config_file(&self) -> PathBuf {
        config_in(self.folder.path())
    }

    /// The agent's program.
    pub fn agent_program(&self) -> &Path {
        &self.agent_program
    }

    /// The local port that is exposed.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The temporary folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Place {
    fn of(ready: &Value) -> Option<Self> {
        let port = |key: &str| u16::try_from(ready.get(key)?.as_u64()?).ok();
        let text = |key: &str| ready.get(key)?.as_str();
        Some(Self {
            https_port: port("https_port")?,
            http_port: port("http_port")?,
            app_host: text("app_host")?.to_owned(),
            ca_file: PathBuf::from(text("ca_file")?),
        })
    }
}

impl Public {
    /// The URL from the agent's events, once it says that visitors get through.
    fn from_events(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let event =
            events.find(|event| event.get("event").and_then(Value::as_str) == Some("url_assigned"))?;
        let text = |key: &str| event.get(key)?.as_str().map(str::to_owned);
        Some(Self { url: text("url")?, host: text("hostname")? })
    }
}

fn start_server(aditd: &Path, folder: &Path, data: &Path) -> Result<Job> {
    let mut command = program(aditd);
    command
        .args(["up", "--dev", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data"])
        .arg(data);
    command.arg("--ready-file").arg(folder.join("ready.json"));
    let log = File::create(folder.join("aditd.log")).context("cannot create a log")?;
    Job::start("aditd", command.stdout(log.try_clone()?).stderr(log))
}

fn start_agent(agent: &Path, folder: &Path, port: u16) -> Result<Job> {
    let mut command = program(agent);
    command.args(["http", &port.to_string(), "--json"]).env("ADIT_CONFIG", config_in(folder));
    let events = File::create(folder.join("agent.events")).context("cannot create a log")?;
    let log = File::create(folder.join("agent.log")).context("cannot create a log")?;
    Job::start("agent", command.stdout(events).stderr(log))
}

fn admin(aditd: &Path, data: &Path, words: &[&str]) -> Result<Value> {
    let mut command = program(aditd);
    command.arg("admin").arg("--data").arg(data).args(words).arg("--json");
    let text = job::output("aditd admin", &mut command)?;
    serde_json::from_str(&text).context("aditd admin --json printed something else")
}

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn config_in(folder: &Path) -> PathBuf {
    folder.join("adit.toml")
}

fn write_config(file: &Path, key: &str, place: &Place) -> Result<()> {
    let server = format!("{}:{}", place.app_host, place.https_port);
    // TOML's basic strings and JSON's agree on everything that stands here.
    let ca_file = Value::from(place.ca_file.to_str().context("the CA file's path is not text")?);
    let text = format!("authtoken = \"{key}\"\nserver = \"{server}\"\nca_file = {ca_file}\n");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes()).context("cannot write the agent's configuration")
}

/// Looks again and again until there is something; a program that ends before is an error with its log.
fn wait_for<T>(
    job: &mut Job,
    folder: &Path,
    interrupt: &Interrupt,
    look: impl Fn() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        alive(job, folder, interrupt)?;
        if Instant::now() >= deadline {
            bail!(
                "{} was not ready within {} s:\n{}",
                job.name(),
                READY_WITHIN.as_secs(),
                last_lines(folder, job.name())
            );
        }
        sleep(LOOK_EVERY);
    }
}

fn alive(job: &mut Job, folder: &Path, interrupt: &Interrupt) -> Result<()> {
    if let Some(status) = job.ended()? {
        // Ctrl-C reaches the whole group; give our own copy of the signal time to arrive.
        sleep(LOOK_EVERY);
        if !interrupt.requested() {
            bail!("{} ended by itself ({status}):\n{}", job.name(), last_lines(folder, job.name()));
        }
    }
    if interrupt.requested() {
        bail!("interrupted");
    }
    Ok(())
}

fn last_lines(folder: &Path, name: &str) -> String {
    let read = |ending: &str| fs::read_to_string(folder.join(format!("{name}.{ending}"))).unwrap_or_default();
    let text = read("events") + &read("log");
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LAST_LINES);
    lines.into_iter().skip(skipped).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn json(file: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { Cow::Owned(format!("'{}'", text.replace('\'', "'\\''"))) }
}

#[cfg(test)]
mod tests;
