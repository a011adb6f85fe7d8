//! Adit: `aditd` with a certificate, one agent with the endpoint `web`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::certificates::{DOMAIN, HOST};
use super::fleet::{Fleet, Flooded, Recruit};
use super::nginx;
use super::program::{Program, output};
use super::running::{Endpoints, Running};
use super::site::Site;
use crate::limits::{AGENTS_PER_TENANT, LOOK_EVERY, READY_WITHIN};
use crate::visitor::Target;

/// What an agent's events say when its URL is its own.
const ASSIGNED: &str = "url_assigned";

/// Starts it, with these options of the server besides. A far link, where there is one, is between agent and server.
pub async fn start(site: &Site, options: &[&str]) -> Result<Endpoints> {
    let (mut server, ready) = start_server(site, options)?;
    let port = port(&mut server, &ready).await?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let agents_dial = site.seen_from_afar(address);
    let key = tenant(site, "web")?;
    let agent = Computer::new(site, "web", &key)?.http(site, agents_dial, "web");
    let agent = Program::start("adit", &mut { agent }, site.folder())?;
    let host = format!("web.{DOMAIN}");
    let target = Target::tls(address, &host, site.place.certificates.roots()?)?;
    Ok(Endpoints::visited(target).with_server(server).with_agent(agent).with_agents_at(agents_dial))
}

/// Agents of tenants besides, each on a computer of its own.
pub fn fleet(running: &Running, count: usize) -> Result<Fleet> {
    let site = running.site();
    let server = running.agents_dial().context("agents have nowhere to connect")?;
    let mut key = String::new();
    let mut recruits = Vec::new();
    for index in 0..count {
        if index.is_multiple_of(AGENTS_PER_TENANT) {
            key = tenant(site, &format!("fleet-{}", index / AGENTS_PER_TENANT))?;
        }
        let name = format!("a{index}");
        let command = Computer::new(site, &name, &key)?.http(site, server, &name);
        recruits.push(Recruit { command, connected: ASSIGNED });
    }
    Ok(Fleet::new(recruits))
}

/// A tenant on the smallest plan, with an agent.
pub fn flooded(running: &Running) -> Result<Flooded> {
    const NAME: &str = "flooded";
    let site = running.site();
    let server = running.agents_dial().context("agents have nowhere to connect")?;
    let key = tenant(site, NAME)?;
    admin(site, &["tenant", "plan", NAME, "starter"])?;
    let command = Computer::new(site, NAME, &key)?.http(site, server, NAME);
    let agent = Fleet::new(vec![Recruit { command, connected: ASSIGNED }]);
    let host = format!("{NAME}.{DOMAIN}");
    let target = Target::tls(server, &host, site.place.certificates.roots()?)?;
    Ok(Flooded { agent, target, bystander: nginx::refusing(site)? })
}

fn start_server(site: &Site, options: &[&str]) -> Result<(Program, PathBuf)> {
    let ready = site.folder().join("ready.json");
    let mut aditd = aditd(site);
    aditd.args(["up", "--listen", "127.0.0.1:0", "--domain", DOMAIN, "--app-host", HOST]);
    aditd.arg("--data").arg(data(site)).arg("--ready-file").arg(&ready);
    aditd.arg("--tls-cert").arg(site.place.certificates.chain());
    aditd.arg("--tls-key").arg(site.place.certificates.key());
    aditd.args(options);
    // All visitors of a run have one address.
    aditd.args(["--connections-per-address", "15000"]);
    if let Some(link) = site.link() {
        aditd.arg("--public-port").arg(link.port().to_string());
    }
    Ok((Program::start("aditd", &mut aditd, site.folder())?, ready))
}

async fn port(server: &mut Program, ready: &Path) -> Result<u16> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(ready).unwrap_or_default();
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(port) = value.get("https_port").and_then(Value::as_u64) {
            return u16::try_from(port).context("a port that is none");
        }
        server.check()?;
        ensure!(started.elapsed() < READY_WITHIN, "aditd is not ready: {}", server.last_words());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A new tenant's API key.
fn tenant(site: &Site, name: &str) -> Result<String> {
    admin(site, &["tenant", "create", name])?;
    let key = admin(site, &["apikey", "create", "--tenant", name, "--name", "bench"])?;
    Ok(key.get("key").and_then(Value::as_str).context("aditd admin printed no key")?.to_owned())
}

fn admin(site: &Site, words: &[&str]) -> Result<Value> {
    let mut aditd = aditd(site);
    aditd.arg("admin").arg("--data").arg(data(site)).args(words).arg("--json");
    serde_json::from_str(&output(&mut aditd)?).context("aditd admin --json printed something else")
}

/// Nothing of the reader's environment decides here.
fn aditd(site: &Site) -> Command {
    let mut command = Command::new(site.place.programs.join("aditd"));
    command.env_clear();
    command
}

fn data(site: &Site) -> PathBuf {
    site.folder().join("data")
}

/// A customer's computer.
struct Computer {
    home: PathBuf,
    key: String,
}

impl Computer {
    fn new(site: &Site, name: &str, key: &str) -> Result<Self> {
        let home = site.folder().join(format!("home-{name}"));
        fs::create_dir(&home).context("no home folder")?;
        site.write(&format!("home-{name}/adit.toml"), "")?;
        Ok(Self { home, key: key.to_owned() })
    }

    fn http(&self, site: &Site, server: SocketAddr, name: &str) -> Command {
        let mut command = Command::new(site.place.programs.join("adit"));
        command.env_clear().env("HOME", &self.home).env("ADIT_CONFIG", self.home.join("adit.toml"));
        command.env("ADIT_SERVER", format!("{HOST}:{}", server.port())).env("ADIT_AUTHTOKEN", &self.key);
        command.env("ADIT_CA_FILE", site.place.certificates.authority());
        command.args(["http", &site.origin().port().to_string(), "--url", name, "--json"]);
        command
    }
}
