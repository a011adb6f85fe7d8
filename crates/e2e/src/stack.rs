//! A running `aditd` with everything in one process.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::process::Command;

use crate::database::Database;
use crate::limits::{COMMAND_WITHIN, LOOK_EVERY, START_WITHIN};
use crate::port_slot::PortSlot;
use crate::program::Program;
use crate::programs;
use crate::set_clock::SetClock;
use crate::wait::within;

/// What is different from a fresh stack on SQLite.
#[derive(Debug, Default)]
pub struct Options {
    /// Tenants and keys are there, not in SQLite.
    pub database: Option<Database>,
    /// The port in URLs, and where agents are sent.
    pub public_port: Option<u16>,
    /// Public ports for endpoints.
    pub ports: Option<PortSlot>,
    /// How many descriptors the server may have open.
    pub descriptors: Option<Descriptors>,
    /// How many MiB of memory the server believes to have.
    pub memory_max: Option<u64>,
    /// What the server logs.
    pub log: Option<&'static str>,
    /// Where its log goes, instead of into what [`Program::log`] returns.
    pub log_to: Option<PathBuf>,
    /// How many seconds it waits for requests in flight when it is asked to end.
    pub drain_timeout: Option<u64>,
    /// Whether it writes down nothing of what endpoints carry.
    pub is_unmetered: bool,
    /// Where it believes load balancers.
    pub trusted_proxy: Option<&'static str>,
    /// The address that it listens at, where that is not 127.0.0.1. It must be reachable there, too.
    pub address: Option<IpAddr>,
    /// The name of its API, and the one below which endpoints get theirs, where they are not `localhost`.
    pub names: Option<[&'static str; 2]>,
    /// A clock that the test sets.
    pub clock: Option<SetClock>,
}

/// What a shell does to the limit of open files before it starts the server.
#[derive(Clone, Copy, Debug)]
pub enum Descriptors {
    /// Never more than this.
    Hard(u32),
    /// No more than this unless the server raises it.
    Soft(u32),
}

/// A running server with its data folder. Both end with it.
#[derive(Debug)]
pub struct Stack {
    program: Program,
    /// What the programs before it have logged.
    earlier_logs: String,
    ready: Ready,
    options: Options,
    data: TempDir,
}

/// An API key of a tenant.
#[derive(Clone, Debug, Deserialize)]
pub struct Key {
    /// Its public name.
    pub id: String,
    /// What an agent signs in with.
    #[serde(rename = "key")]
    pub secret: String,
}

/// What the server says about itself as soon as it serves.
#[derive(Clone, Debug, Deserialize)]
struct Ready {
    https_port: u16,
    http_port: u16,
    domain: String,
    app_host: String,
    ca_file: PathBuf,
}

impl Stack {
    /// A server on a new data folder.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// The same, with something different.
    pub async fn start_with(options: Options) -> Result<Self> {
        let data = TempDir::with_prefix("adit-e2e-").context("no data folder")?;
        let (program, ready) = serve(data.path(), &options, [0, 0]).await?;
        Ok(Self { program, earlier_logs: String::new(), ready, options, data })
    }

    /// Starts the server again, on the same ports and data. Whoever calls this has ended it before.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(!self.program.running()?, "the server still runs");
        let ports = [self.ready.https_port, self.ready.http_port];
        let (program, ready) = serve(self.data.path(), &self.options, ports).await?;
        self.earlier_logs.push_str(&self.program.log());
        (self.program, self.ready) = (program, ready);
        Ok(())
    }

    /// Starts the next server beside the one that drains, on the same ports and data, and returns the old one.
    pub async fn replace(&mut self) -> Result<Program> {
        let ports = [self.ready.https_port, self.ready.http_port];
        let (program, ready) = serve(self.data.path(), &self.options, ports).await?;
        self.ready = ready;
        Ok(std::mem::replace(&mut self.program, program))
    }

    /// Starts another server on the same data, on ports of its own, and returns it when it has ended.
    pub async fn start_second(&self) -> Result<Program> {
        let mut command = aditd(&self.options)?;
        command.args(["up", "--dev", "--data"]).arg(self.data.path());
        command.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        let mut program = Program::start("aditd", command)?;
        program.end(COMMAND_WITHIN).await?;
        Ok(program)
    }

    /// A new tenant of this name with an API key.
    pub async fn tenant(&self, name: &str) -> Result<Key> {
        self.admin::<serde_json::Value>(&["tenant", "create", name]).await?;
        self.key(name, "first").await
    }

    /// Another API key of a tenant.
    pub async fn key(&self, tenant: &str, name: &str) -> Result<Key> {
        self.admin(&["apikey", "create", "--tenant", tenant, "--name", name]).await
    }

    /// Revokes an API key.
    pub async fn revoke(&self, key: &Key) -> Result<()> {
        self.admin_silent(&["apikey", "revoke", &key.id]).await
    }

    /// `aditd admin ARGUMENTS`, whatever it prints.
    pub async fn admin_silent(&self, arguments: &[&str]) -> Result<()> {
        self.run_admin(arguments).await?;
        Ok(())
    }

    /// What `aditd admin ARGUMENTS --json` prints.
    pub async fn admin<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let output = self.run_admin(arguments).await?;
        serde_json::from_slice(&output)
            .with_context(|| format!("aditd admin prints {:?}", String::from_utf8_lossy(&output)))
    }

    async fn run_admin(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        run(self.admin_command(arguments)?).await
    }

    /// `aditd admin ARGUMENTS --json`, to be run while something else happens.
    pub fn admin_command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = aditd(&self.options)?;
        command.args(["admin", "--data"]).arg(self.data.path()).args(arguments).arg("--json");
        Ok(command)
    }

    /// Where agents and visitors connect over TLS.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ready.https_port))
    }

    /// Where visitors connect in the clear.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ready.http_port))
    }

    /// The name under which endpoints get theirs.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.ready.domain
    }

    /// The name of the API.
    #[must_use]
    pub fn app_host(&self) -> &str {
        &self.ready.app_host
    }

    /// The certificate that visitors and agents trust.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ready.ca_file
    }

    /// The public ports that it has for endpoints.
    #[must_use]
    pub const fn ports(&self) -> Option<&PortSlot> {
        self.options.ports.as_ref()
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// What the running server has logged, after what those have that it was started again after.
    #[must_use]
    pub fn logs(&self) -> String {
        [self.earlier_logs.as_str(), &self.program.log()].concat()
    }

    /// The running server.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }
}

async fn run(mut command: Command) -> Result<Vec<u8>> {
    let output = within("aditd admin ends", COMMAND_WITHIN, command.output()).await??;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {}: {errors}", command.as_std().get_args(), output.status);
    Ok(output.stdout)
}

async fn serve(data: &Path, options: &Options, ports: [u16; 2]) -> Result<(Program, Ready)> {
    let ready_file = data.join("ready.json");
    // One that ended by force leaves its own behind.
    if ready_file.exists() {
        std::fs::remove_file(&ready_file).context("an old ready file stays")?;
    }
    let mut command = match (options.descriptors, &options.log_to) {
        (Some(Descriptors::Hard(max)), _) => in_shell(options, "ulimit -n \"$1\"", max.to_string().as_ref())?,
        (Some(Descriptors::Soft(max)), _) => {
            in_shell(options, "ulimit -Sn \"$1\"", max.to_string().as_ref())?
        }
        (None, Some(log)) => in_shell(options, "exec 2>\"$1\"", log.as_ref())?,
        (None, None) => aditd(options)?,
    };
    command.args(["up", "--dev", "--data"]).arg(data);
    for (flag, port) in ["--listen", "--http-listen"].iter().zip(ports) {
        let address = options.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        command.arg(flag).arg(SocketAddr::from((address, port)).to_string());
    }
    if let Some([app_host, domain]) = options.names {
        command.args(["--app-host", app_host, "--domain", domain]);
    }
    command.arg("--ready-file").arg(&ready_file);
    if let Some(log) = options.log {
        command.arg("--log").arg(log);
    }
    if let Some(ports) = &options.ports {
        for flag in ["--tcp-ports", "--udp-ports"] {
            command.arg(flag).arg(ports.range());
        }
    }
    if let Some(seconds) = options.drain_timeout {
        command.arg("--drain-timeout").arg(seconds.to_string());
    }
    if options.is_unmetered {
        command.arg("--no-metering");
    }
    if let Some(mebibytes) = options.memory_max {
        command.arg("--memory-max").arg(mebibytes.to_string());
    }
    if let Some(networks) = options.trusted_proxy {
        command.arg("--trusted-proxy").arg(networks);
    }
    if let Some(port) = options.public_port {
        command.arg("--public-port").arg(port.to_string());
    }
    if let Some(clock) = &options.clock {
        clock.give(&mut command);
    }
    let mut program = Program::start("aditd", command)?;
    let ready = within("aditd is ready", START_WITHIN, ready(&mut program, &ready_file)).await??;
    Ok((program, ready))
}

async fn ready(program: &mut Program, file: &Path) -> Result<Ready> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        if file.exists() {
            let text = std::fs::read(file).context("the ready file cannot be read")?;
            return serde_json::from_slice(&text).context("the ready file is not what it should be");
        }
        ensure!(program.running()?, "aditd ended before it served: {}", program.log());
    }
}

/// `aditd ARGUMENTS`, apart from every stack. Nothing of the developer's environment leaks in.
pub fn operator(arguments: &[&str]) -> Result<Command> {
    let mut command = aditd(&Options::default())?;
    command.args(arguments);
    Ok(command)
}

/// Nothing of the developer's environment leaks in.
fn aditd(options: &Options) -> Result<Command> {
    let mut command = Command::new(programs::aditd()?);
    command.env_clear().kill_on_drop(true);
    if let Some(database) = &options.database {
        command.env("DATABASE_URL", database.url());
    }
    Ok(command)
}

/// The same, in the place of a shell that did something first, with one argument.
fn in_shell(options: &Options, first: &str, argument: &OsStr) -> Result<Command> {
    let server = aditd(options)?;
    let mut command = Command::new("/bin/sh");
    command.env_clear().kill_on_drop(true);
    command.arg("-c").arg(format!("{first} && shift && exec \"$@\"")).arg("sh").arg(argument);
    command.arg(server.as_std().get_program());
    for (name, value) in server.as_std().get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    Ok(command)
}
