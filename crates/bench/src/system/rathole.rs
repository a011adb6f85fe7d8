//! rathole with TLS in the tunnel.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::certificates::{HOST, PKCS12_PASSWORD};
use super::fleet::{Fleet, Recruit};
use super::program::{Program, output};
use super::running::{Endpoints, Running};
use super::site::{Site, free_address};

/// Services that the server knows besides `web`, for agents that come later.
const SPARE_SERVICES: usize = 200;

const TOKEN: &str = "bench";

/// Starts server and client. A far link, where there is one, is between them.
pub fn start(site: &Site) -> Result<Endpoints> {
    let (agents, public) = (free_address()?, free_address()?);
    let identity = site.place.certificates.pkcs12()?;
    let identity = identity.display();
    // The visitors of spare services choose their port; nobody visits them.
    let spare = (0..SPARE_SERVICES)
        .map(|index| format!("[server.services.spare{index}]\nbind_addr = \"127.0.0.1:0\"\n"));
    let config = format!(
        "[server]
bind_addr = \"{agents}\"
default_token = \"{TOKEN}\"
[server.transport]
type = \"tls\"
[server.transport.tls]
pkcs12 = \"{identity}\"
pkcs12_password = \"{PKCS12_PASSWORD}\"
[server.services.web]
bind_addr = \"{public}\"
{spare}",
        spare = spare.collect::<String>()
    );
    let mut server = rathole(site);
    server.arg("--server").arg(site.write("rathole-server.toml", &config)?);
    let server = Program::start("rathole-server", &mut server, site.folder())?;
    let agents_dial = site.seen_from_afar(agents);
    let mut client = client(site, agents_dial, "web")?;
    let agent = Program::start("rathole-client", &mut client, site.folder())?;
    Ok(Endpoints::open_to(public).with_server(server).with_agent(agent).with_agents_at(agents_dial))
}

/// Clients besides, each with one of the spare services.
pub fn fleet(running: &Running, count: usize) -> Result<Fleet> {
    let server = running.agents_dial().context("agents have nowhere to connect")?;
    let recruit = |index: usize| {
        let command = client(running.site(), server, &format!("spare{index}"))?;
        Ok(Recruit { command, connected: "Control channel established" })
    };
    Ok(Fleet::new((0..count.min(SPARE_SERVICES)).map(recruit).collect::<Result<_>>()?))
}

/// `--version` prints a page of which one line is enough.
pub fn version(program: &Path) -> String {
    let page = output(Command::new(program).arg("--version")).unwrap_or_default();
    let line = page.lines().find_map(|line| line.strip_prefix("Build Version:"));
    line.map_or_else(
        || format!("{} is not there", program.display()),
        |version| format!("rathole {}", version.trim()),
    )
}

fn client(site: &Site, server: SocketAddr, service: &str) -> Result<Command> {
    let authority = site.place.certificates.authority();
    let authority = authority.display();
    let origin = site.origin();
    let config = format!(
        "[client]
remote_addr = \"{server}\"
default_token = \"{TOKEN}\"
[client.transport]
type = \"tls\"
[client.transport.tls]
trusted_root = \"{authority}\"
hostname = \"{HOST}\"
[client.services.{service}]
local_addr = \"{origin}\"
"
    );
    let mut command = rathole(site);
    command.arg("--client").arg(site.write(&format!("rathole-{service}.toml"), &config)?);
    Ok(command)
}

fn rathole(site: &Site) -> Command {
    let mut command = Command::new(site.place.peers.join("rathole"));
    command.env_clear().env("RUST_LOG", "info");
    command
}
