//! bore: TCP through TCP, nothing encrypted.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::Result;

use super::fleet::{Fleet, Recruit};
use super::program::Program;
use super::running::{Endpoints, Running};
use super::site::{Site, free_address};

/// Its control port cannot be chosen, so only one can run on a machine at a time.
const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7835);

/// Starts server and client.
pub fn start(site: &Site) -> Result<Endpoints> {
    let public = free_address()?;
    let mut server = bore(site);
    server.args(["server", "--bind-addr", "127.0.0.1"]);
    let server = Program::start("bore-server", &mut server, site.folder())?;
    // The client does not dial again when the server is not there yet.
    let mut agent = Command::new("sh");
    let local = local(site, public.port());
    agent
        .args(["-c", "until \"$@\"; do sleep 0.05; done", "bore"])
        .arg(local.get_program())
        .args(local.get_args());
    agent.env_clear().env("PATH", "/usr/bin:/bin").env("RUST_LOG", "info");
    let agent = Program::start("bore-client", &mut agent, site.folder())?;
    Ok(Endpoints::open_to(public).with_server(server).with_agent(agent).with_agents_at(CONTROL))
}

/// Clients besides, each with a port of the server's choice.
pub fn fleet(running: &Running, count: usize) -> Fleet {
    let recruit = |_| Recruit { command: local(running.site(), 0), connected: "listening at" };
    Fleet::new((0..count).map(recruit).collect())
}

fn local(site: &Site, port: u16) -> Command {
    let origin: SocketAddr = site.origin();
    let mut command = bore(site);
    command.args(["local", &origin.port().to_string(), "--local-host", &origin.ip().to_string()]);
    command.args(["--to", &Ipv4Addr::LOCALHOST.to_string(), "--port", &port.to_string()]);
    command
}

fn bore(site: &Site) -> Command {
    let mut command = Command::new(site.place.peers.join("bore"));
    command.env_clear().env("RUST_LOG", "info");
    command
}
