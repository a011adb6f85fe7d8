//! A real name server, and questions to it.

use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

/// dnsmasq, which knows `adit.test`: the address of every name in it is 192.0.2.7, and `long.adit.test` has four texts of 251
/// bytes. It ends with this.
#[derive(Debug)]
pub struct NameServer {
    port: u16,
    _program: Child,
}

impl NameServer {
    /// The type of an address (RFC 1035, section 3.2.2).
    pub const A: u16 = 1;
    /// The type of texts.
    pub const TXT: u16 = 16;

    /// Starts it, on a port of its own. It answers a moment later.
    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv"]);
        command.args(["--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"]);
        command.args([
            format!("--port={port}").as_str(),
            "--address=/adit.test/192.0.2.7",
            "--log-facility=-",
        ]);
        let text = "t".repeat(250);
        command.args((0..4).map(|n| format!("--txt-record=long.adit.test,{n}{text}")));
        let program = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
        Ok(Self { port, _program: program.context("starting dnsmasq")? })
    }

    /// Its port, as the agent is told.
    #[must_use]
    pub fn port(&self) -> String {
        self.port.to_string()
    }

    /// A question as RFC 1035, section 4, has it; with EDNS (RFC 6891) for answers of up to 4,096 bytes.
    #[must_use]
    pub fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        let mut question = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap_or(0));
            question.extend(label.as_bytes());
        }
        question.push(0);
        question.extend(kind.to_be_bytes());
        question.extend([0, 1]);
        // The root, OPT, 4,096 bytes, no flags, no options.
        question.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
        question
    }
}

/// One that is free for UDP and for TCP, both of which it listens on.
fn free_port() -> Result<u16> {
    let both = || {
        let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = tcp.local_addr().ok()?.port();
        UdpSocket::bind(("127.0.0.1", port)).ok().map(|_| port)
    };
    (0..100).find_map(|_| both()).context("no port for a name server")
}
