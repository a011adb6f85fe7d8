//! OpenSSH, both ends: the server speaks first, and the client believes this server's key and no other.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use adit_e2e::{Pattern, RawOrigin, within};
use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Place, WITHIN, address};

/// Where Debian has the server. It wants to be started by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

/// More than SSH's own window of 2 MiB.
const SENT_BYTES: usize = 3_000_000;

/// A server with keys of its own, which lets in whoever started it.
struct Server {
    folder: Arc<TempDir>,
    origin: RawOrigin,
}

impl Server {
    async fn start() -> Result<Self> {
        let folder = Arc::new(TempDir::with_prefix("adit-e2e-ssh-").context("no folder for keys")?);
        key(folder.path(), "host_key").await?;
        key(folder.path(), "user_key").await?;
        key(folder.path(), "other_key").await?;
        let config = folder.path().join("sshd_config");
        fs::write(&config, Self::config(folder.path()))?;
        // A folder that the service's start script makes otherwise, and without which root's server does not start.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").context("no /run/sshd")?;
        }
        let kept = Arc::clone(&folder);
        let origin = RawOrigin::start(move |stream| serve(Arc::clone(&kept), config.clone(), stream)).await?;
        Ok(Self { folder, origin })
    }

    fn config(folder: &Path) -> String {
        let file = |name: &str| folder.join(name).display().to_string();
        format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPermitUserRC no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             PrintMotd no\nLogLevel ERROR\n",
            file("host_key"),
            file("user_key.pub"),
        )
    }

    /// `ssh` through an endpoint's port, with this key of the user's, to a server with that host key.
    fn client(&self, port: u16, user_key: &str, host_key: &str) -> Result<Command> {
        let path = |name: &str| self.folder.path().join(name);
        let host = fs::read_to_string(path(host_key).with_extension("pub"))?;
        let known_hosts = path(&format!("known_hosts_{host_key}"));
        fs::write(&known_hosts, format!("[127.0.0.1]:{port} {host}"))?;
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-T", "-p", &port.to_string(), "-i"]).arg(path(user_key));
        ssh.args(["-o", &format!("UserKnownHostsFile={}", known_hosts.display())]);
        for option in [
            "BatchMode=yes",
            "GlobalKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=yes",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.arg("127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
        Ok(ssh)
    }
}

/// One server process for one connection, as inetd does it.
async fn serve(folder: Arc<TempDir>, config: PathBuf, stream: TcpStream) -> Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let socket = OwnedFd::from(stream);
    let mut sshd = Command::new(SSHD);
    sshd.args(["-i", "-e", "-f"]).arg(config).kill_on_drop(true);
    sshd.stdin(socket.try_clone()?).stdout(socket);
    sshd.status().await.context("sshd does not start")?;
    // The keys are there as long as somebody reads them.
    drop(folder);
    Ok(())
}

/// A pair of keys in the files `name` and `name.pub`.
async fn key(folder: &Path, name: &str) -> Result<()> {
    let file = folder.join(name);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).stdin(Stdio::null());
    let status = within("a key is made", WITHIN, keygen.status()).await?.context("no ssh-keygen")?;
    ensure!(status.success(), "ssh-keygen: {status}");
    Ok(fs::set_permissions(&file, Permissions::from_mode(0o600))?)
}

#[tokio::test]
async fn ssh_runs_a_command_and_hears_how_it_ended() -> Result<()> {
    let place = Place::start().await?;
    let server = Server::start().await?;
    let mut agent = place.tcp(&server.origin.port(), &[])?;
    let port = address(&agent.url().await?)?.port();
    let sent = Pattern::new(1).take(SENT_BYTES);
    let file = server.folder.path().join("sent");
    fs::write(&file, &sent)?;
    for _ in 0..2 {
        let mut ssh = server.client(port, "user_key", "host_key")?;
        ssh.arg("cat && echo done >&2 && exit 7").stdin(File::open(&file)?);
        let output = within("ssh ends", WITHIN, ssh.output()).await??;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{errors}");
        assert!(errors.contains("done"), "{errors}");
        assert!(output.stdout == sent, "{} of {} bytes", output.stdout.len(), sent.len());
    }
    Ok(())
}

/// The controls: what is believed are the keys at both ends, and nothing on the way.
#[tokio::test]
async fn ssh_believes_only_the_keys_at_both_ends() -> Result<()> {
    let place = Place::start().await?;
    let server = Server::start().await?;
    let mut agent = place.tcp(&server.origin.port(), &[])?;
    let port = address(&agent.url().await?)?.port();
    for (user_key, host_key, says) in [
        ("user_key", "other_key", "Host key verification failed"),
        ("other_key", "host_key", "Permission denied"),
    ] {
        let mut ssh = server.client(port, user_key, host_key)?;
        let output = within("ssh ends", WITHIN, ssh.arg("echo inside").output()).await??;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(255), "{errors}");
        assert!(errors.contains(says) && output.stdout.is_empty(), "{errors}");
    }
    Ok(())
}
