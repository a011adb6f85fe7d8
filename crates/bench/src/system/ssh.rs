//! OpenSSH: `ssh -R` with AES-128-GCM, the fastest of its ciphers where the CPU has AES.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::program::{Program, output};
use super::running::Endpoints;
use super::site::{Site, free_address};

/// Where Debian has the server; it wants to be started by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

const CIPHER: &str = "aes128-gcm@openssh.com";

/// Starts a server of our own, for this user only, and a client that forwards one port.
pub fn start(site: &Site) -> Result<Endpoints> {
    let (server_address, public) = (free_address()?, free_address()?);
    let host_key = key(site, "host_key")?;
    let user_key = key(site, "user_key")?;
    let authorized = user_key.with_extension("pub");
    let config = format!(
        "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nAllowTcpForwarding yes\nLogLevel ERROR\n",
        server_address.port(),
        host_key.display(),
        authorized.display(),
        site.folder().join("sshd.pid").display()
    );
    let config = site.write("sshd_config", &config)?;
    let mut sshd = Command::new(SSHD);
    sshd.args(["-D", "-e", "-f"]).arg(config);
    prepare_privilege_separation()?;
    let server = Program::start("sshd", &mut sshd, site.folder())?;
    let forward = format!("{public}:{}", site.origin());
    let mut ssh = client(&user_key, server_address.port());
    ssh.args(["-N", "-R", &forward]);
    // It does not dial again by itself when the server is not there yet.
    let mut agent = Command::new("sh");
    agent
        .args(["-c", "until \"$@\"; do sleep 0.05; done", "ssh"])
        .arg(ssh.get_program())
        .args(ssh.get_args());
    let agent = Program::start("ssh", &mut agent, site.folder())?;
    Ok(Endpoints::open_to(public).with_server(server).with_agent(agent))
}

fn client(user_key: &Path, port: u16) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "/dev/null", "-c", CIPHER, "-p", &port.to_string(), "-i"]).arg(user_key);
    for option in [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
    ] {
        ssh.args(["-o", option]);
    }
    ssh.arg("127.0.0.1");
    ssh
}

fn key(site: &Site, name: &str) -> Result<PathBuf> {
    let file = site.folder().join(name);
    output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file))?;
    Ok(file)
}

/// A folder that the service's start script makes otherwise, and without which root's sshd does not start.
fn prepare_privilege_separation() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/run/sshd").context("no /run/sshd")?;
    }
    Ok(())
}
