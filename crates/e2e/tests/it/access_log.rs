//! Connections and flows, which are no requests, in the access logs of both sides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{
    Agent, Home, Options, PortSlot, RawOrigin, Stack, UdpOrigin, UdpVisitor, believing, until, within,
};
use anyhow::{Context as _, Result};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than a flow that asked one question stays.
const WITHIN: Duration = Duration::from_mins(1);

/// A stack and an agent that log every access.
struct Place {
    home: Home,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        let (ports, log) = (Some(PortSlot::take()?), Some("info,adit::access=debug"));
        let stack = Stack::start_with(Options { ports, log, ..Options::default() }).await?;
        Ok(Self { home: Home::new(&stack, &stack.tenant("acme").await?)?, stack })
    }

    fn agent(&self, words: &[&str]) -> Result<Agent> {
        self.home.adit(&[words, &["--json", "--log", "stderr", "--log-level", "debug"]].concat())
    }

    /// What both sides have written down of the one visit that there was, once they have.
    async fn records(&mut self, agent: &mut Agent) -> Result<[String; 2]> {
        let mut logs = [String::new(), String::new()];
        until("both have written it down", WITHIN, || {
            logs = [self.stack.program().log(), agent.program().log()];
            std::future::ready(logs.iter().all(|log| field(log, "outcome").is_some()))
        })
        .await?;
        Ok(logs)
    }
}

/// The value of a field in the one record of a log in text.
fn field<'a>(log: &'a str, name: &str) -> Option<&'a str> {
    let mut records = log.lines().filter(|line| line.contains(" adit::access: "));
    let record = records.next().filter(|_| records.next().is_none())?;
    let mut fields = record.split(' ').filter_map(|word| word.split_once('='));
    fields.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Both say the same of a visit that was served, with so many bytes each way, and nothing that only requests have.
fn assert_served([ours, agents]: &[String; 2], kind: &str, (visitor, bytes): (SocketAddr, usize)) {
    let (visitor, bytes) = (visitor.to_string(), bytes.to_string());
    for log in [ours, agents] {
        for (name, value) in [
            ("kind", kind),
            ("outcome", "served"),
            ("visitor", &visitor),
            ("in_bytes", &bytes),
            ("out_bytes", &bytes),
        ] {
            assert_eq!(field(log, name), Some(value), "{name} in {log}");
        }
    }
    let id = field(ours, "id");
    assert!(id.is_some(), "{ours}");
    assert_eq!((field(ours, "stream"), field(agents, "stream")), (id, id));
    assert_eq!(field(ours, "path").or_else(|| field(ours, "status")), None, "{ours}");
}

/// Sends `bytes`, ends, and gets them back. Says from where.
async fn there_and_back(address: SocketAddr, bytes: &[u8]) -> Result<SocketAddr> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut back = Vec::new();
    within("everything comes back", WITHIN, stream.read_to_end(&mut back)).await??;
    assert!(back == bytes, "{} of {} bytes", back.len(), bytes.len());
    Ok(stream.local_addr()?)
}

/// What a visitor who asks for `name` says first.
fn hello(name: &'static str) -> Result<Vec<u8>> {
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(believing([])?), ServerName::try_from(name)?)?.write_tls(&mut hello)?;
    Ok(hello)
}

#[tokio::test]
async fn a_connection_to_a_port_leaves_a_record_on_both_sides() -> Result<()> {
    let (mut place, origin) = (Place::start().await?, RawOrigin::echo().await?);
    let mut agent = place.agent(&["tcp", &origin.port()])?;
    let url = agent.url().await?;
    let port = url.rsplit(':').next().context("no port")?.parse()?;
    let visitor = there_and_back(SocketAddr::from(([127, 0, 0, 1], port)), b"hello").await?;
    assert_served(&place.records(&mut agent).await?, "tcp", (visitor, 5));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_passed_on_leaves_a_record_on_both_sides() -> Result<()> {
    let (mut place, origin) = (Place::start().await?, RawOrigin::echo().await?);
    let mut agent = place.agent(&["tls", &origin.port(), "--url", "sealed"])?;
    agent.url().await?;
    let hello = hello("sealed.localhost")?;
    let visitor = there_and_back(place.stack.https(), &hello).await?;
    let logs = place.records(&mut agent).await?;
    assert_served(&logs, "tls", (visitor, hello.len()));
    assert_eq!(field(&logs[0], "hostname"), Some("sealed.localhost"));
    Ok(())
}

#[tokio::test]
async fn a_flow_leaves_a_record_on_both_sides() -> Result<()> {
    let (mut place, origin) = (Place::start().await?, UdpOrigin::echo().await?);
    let mut agent = place.agent(&["udp", &origin.port()])?;
    let visitor = UdpVisitor::of(&agent.url().await?).await?;
    assert_eq!(visitor.ask(b"question").await?, b"question");
    let logs = place.records(&mut agent).await?;
    assert_served(&logs, "udp", (visitor.address()?, 8));
    Ok(())
}
