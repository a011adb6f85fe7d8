//! Endpoints of kind tcp: a public port whose connections arrive at the upstream as they are.

mod held;
mod kind;
mod smtp;
mod ssh;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use adit_e2e::{
    Agent, Database, Home, Key, Options, Pattern, PortSlot, RawOrigin, Signal, Stack, Visitor, until, within,
};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

/// Enough to fill every buffer on the way several times.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// A stack with public ports, and a computer for agents.
struct Place {
    home: Home,
    key: Key,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Result<Self> {
        let stack = Stack::start_with(Options { ports: Some(PortSlot::take()?), ..options }).await?;
        let key = stack.tenant("acme").await?;
        Ok(Self { home: Home::new(&stack, &key)?, key, stack })
    }

    fn tcp(&self, upstream: &str, more: &[&str]) -> Result<Agent> {
        self.home.adit(&[&["tcp", upstream, "--json"], more].concat())
    }

    fn ports(&self) -> Result<&PortSlot> {
        self.stack.ports().context("no ports")
    }
}

/// The port in a URL `tcp://localhost:PORT`, on the loopback address.
pub(super) fn address(url: &str) -> Result<SocketAddr> {
    let port = url.strip_prefix("tcp://localhost:").with_context(|| format!("not for tcp: {url}"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
}

async fn visit(address: SocketAddr) -> Result<TcpStream> {
    let stream = within("a connection", WITHIN, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exactly(stream: &mut TcpStream, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    within("bytes arrive", WITHIN, stream.read_exact(&mut bytes)).await??;
    Ok(bytes)
}

async fn to_end(stream: &mut TcpStream) -> Result<std::io::Result<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = within("the connection ends", WITHIN, stream.read_to_end(&mut bytes)).await?;
    Ok(read.map(|_| bytes))
}

#[tokio::test]
async fn bytes_pass_both_ways_as_they_are() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::echo().await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    let sent = Pattern::new(1).take(LARGE_BYTES);
    let (mut reading, mut writing) = stream.split();
    let write = async {
        writing.write_all(&sent).await?;
        writing.shutdown().await
    };
    let mut received = Vec::new();
    let both = async { tokio::try_join!(write, reading.read_to_end(&mut received)) };
    within("everything comes back", WITHIN, both).await??;
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    Ok(())
}

#[tokio::test]
async fn a_server_may_speak_first() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::start(|mut stream| async move {
        stream.write_all(b"220 ready\r\n").await?;
        // Waits for the visitor, who waits for the banner.
        let mut line = [0; 6];
        stream.read_exact(&mut line).await?;
        stream.write_all(b"221 bye\r\n").await?;
        Ok(())
    })
    .await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    assert_eq!(exactly(&mut stream, 11).await?, b"220 ready\r\n");
    stream.write_all(b"QUIT\r\n").await?;
    assert_eq!(to_end(&mut stream).await??, b"221 bye\r\n");
    Ok(())
}

#[tokio::test]
async fn a_half_that_has_ended_leaves_the_other_open() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::start(|mut stream| async move {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await?;
        stream.write_all(&question).await?;
        stream.write_all(b", and the answer").await?;
        Ok(())
    })
    .await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    stream.write_all(b"the question").await?;
    stream.shutdown().await?;
    assert_eq!(to_end(&mut stream).await??, b"the question, and the answer");
    Ok(())
}

#[tokio::test]
async fn a_reset_upstream_resets_the_visitor() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::start(|mut stream| async move {
        stream.write_all(b"a part").await?;
        let mut go = [0];
        stream.read_exact(&mut go).await?;
        stream.set_zero_linger()?;
        Ok(())
    })
    .await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    assert_eq!(exactly(&mut stream, 6).await?, b"a part");
    stream.write_all(b"x").await?;
    assert_reset(&to_end(&mut stream).await?);
    Ok(())
}

#[tokio::test]
async fn a_reset_visitor_resets_the_upstream() -> Result<()> {
    let place = Place::start().await?;
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let origin = RawOrigin::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            stream.write_all(b"hello").await?;
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest).await;
            tell.send(ended.map(|_| rest)).await?;
            Ok(())
        }
    })
    .await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    assert_eq!(exactly(&mut stream, 5).await?, b"hello");
    stream.set_zero_linger()?;
    drop(stream);
    let ended = within("the upstream hears of it", WITHIN, told.recv()).await?.context("no word")?;
    assert_reset(&ended);
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_not_there_resets_the_visitor() -> Result<()> {
    let place = Place::start().await?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut agent = place.tcp(&nobody.to_string(), &[])?;
    let mut stream = visit(address(&agent.url().await?)?).await?;
    assert_reset(&to_end(&mut stream).await?);
    let told = agent.event("upstream_refused", WITHIN).await?;
    assert_eq!(told["upstream"], format!("tcp://localhost:{nobody}"));
    Ok(())
}

fn assert_reset(ended: &std::io::Result<Vec<u8>>) {
    let kind = ended.as_ref().map_err(std::io::Error::kind);
    assert_eq!(kind, Err(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn without_its_agent_a_port_is_closed_and_then_the_same() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::echo().await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let url = agent.url().await?;
    let at = address(&url)?;
    let mut stream = visit(at).await?;
    stream.write_all(b"ping").await?;
    assert_eq!(exactly(&mut stream, 4).await?, b"ping");

    agent.program().kill().await?;
    assert_reset(&to_end(&mut stream).await?);
    for _ in 0..2 {
        let mut agent = place.tcp(&origin.port(), &[])?;
        assert_eq!(agent.url().await?, url);
        assert_echoes(at).await?;
        agent.program().signal(Signal::INT)?;
        agent.program().end(WITHIN).await?;
        assert_closed(at).await?;
    }
    Ok(())
}

async fn assert_closed(at: SocketAddr) -> Result<()> {
    until("the port is closed", WITHIN, || async { TcpStream::connect(at).await.is_err() }).await
}

async fn assert_echoes(at: SocketAddr) -> Result<()> {
    let mut stream = visit(at).await?;
    stream.write_all(b"ping").await?;
    stream.shutdown().await?;
    assert_eq!(to_end(&mut stream).await??, b"ping");
    Ok(())
}

#[tokio::test]
async fn the_port_is_the_same_after_a_restart_of_the_server() -> Result<()> {
    restart(Place::start().await?).await
}

#[tokio::test]
async fn the_port_is_the_same_after_a_restart_with_postgres() -> Result<()> {
    let database = Some(Database::create().await?);
    restart(Place::with(Options { database, ..Options::default() }).await?).await
}

async fn restart(mut place: Place) -> Result<()> {
    let origin = RawOrigin::echo().await?;
    let mut agent = place.tcp(&origin.port(), &[])?;
    let url = agent.url().await?;
    for signal in [Signal::KILL, Signal::TERM] {
        place.stack.program().signal(signal)?;
        place.stack.program().end(WITHIN).await?;
        agent.event("disconnected", WITHIN).await?;
        place.stack.start_again().await?;
        assert_eq!(agent.event("url_assigned", WITHIN).await?["url"], url);
        assert_echoes(address(&url)?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_was_asked_for_is_nobody_elses() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::echo().await?;
    let port = place.ports()?.last().to_string();
    let mut agent = place.tcp(&origin.port(), &["--remote-port", &port])?;
    assert_eq!(agent.url().await?, format!("tcp://localhost:{port}"));

    let other = Home::new(&place.stack, &place.stack.tenant("other").await?)?;
    let mut refused = other.adit(&["tcp", &origin.port(), "--remote-port", &port, "--json"])?;
    assert_eq!(refused.exit(WITHIN).await?, 5);
    assert!(!format!("{:?}", refused.seen()).contains("acme"));

    // Nor once its agent is gone.
    agent.program().signal(Signal::INT)?;
    agent.program().end(WITHIN).await?;
    let mut refused = other.adit(&["tcp", &origin.port(), "--remote-port", &port, "--json"])?;
    assert_eq!(refused.exit(WITHIN).await?, 5);

    // Any other agent of its tenant gets it: by its number, or by the URL that was printed.
    let laptop = Home::new(&place.stack, &place.key)?;
    let url = format!("tcp://localhost:{port}");
    for asks in [["--remote-port", &port], ["--url", &url]] {
        let mut back = laptop.adit(&[&["tcp", &origin.port(), "--json"][..], &asks[..]].concat())?;
        assert_eq!(back.url().await?, url);
        assert_echoes(address(&url)?).await?;
        drop(back);
    }
    Ok(())
}

#[tokio::test]
async fn the_newer_agent_takes_the_port() -> Result<()> {
    let place = Place::start().await?;
    let (old, new) =
        (RawOrigin::echo().await?, RawOrigin::start(async |mut s| Ok(s.write_all(b"new").await?)).await?);
    let mut first = place.tcp(&old.port(), &["--url", "ssh"])?;
    let url = first.url().await?;
    let laptop = Home::new(&place.stack, &place.key)?;
    let mut second = laptop.adit(&["tcp", &new.port(), "--url", "ssh", "--json"])?;
    assert_eq!(second.url().await?, url);
    assert_eq!(first.exit(WITHIN).await?, 5);
    assert!(first.has_said("replaced"));
    assert_eq!(to_end(&mut visit(address(&url)?).await?).await??, b"new");
    Ok(())
}

#[tokio::test]
async fn what_is_not_offered_is_refused_with_a_reason() -> Result<()> {
    let place = Place::start().await?;
    let outside = (place.ports()?.last() + 1).to_string();
    let mut agent = place.tcp("22", &["--remote-port", &outside])?;
    assert_eq!(agent.exit(WITHIN).await?, 5);
    let range = place.ports()?.range();
    assert!(format!("{:?}", agent.seen()).contains(&range), "{:?}", agent.seen());

    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    let mut agent = home.adit(&["tcp", "22", "--json"])?;
    assert_eq!(agent.exit(WITHIN).await?, 5);
    assert!(format!("{:?}", agent.seen()).contains("no tcp endpoints"), "{:?}", agent.seen());
    Ok(())
}

#[tokio::test]
async fn http_does_not_find_it() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::echo().await?;
    let mut agent = place.tcp(&origin.port(), &["--url", "ssh"])?;
    let visitor = Visitor::new(&place.stack, &agent.hostname().await?)?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), 404);
    agent.program().signal(Signal::INT)?;
    agent.program().end(WITHIN).await?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), 404);
    Ok(())
}

/// A client and a server that know nothing of Adit. The server is on a Unix socket, so a bridge stands before it.
#[tokio::test]
async fn psql_talks_to_postgres() -> Result<()> {
    let place = Place::start().await?;
    let database = Database::create().await?;
    let (before, parameters) = database.url().split_once('?').unwrap_or((database.url(), ""));
    let folder = parameters.split('&').find_map(|pair| pair.strip_prefix("host=")).context("no socket")?;
    let socket = format!("{}/.s.PGSQL.5432", folder.replace("%2F", "/"));
    let bridge = RawOrigin::start(move |mut stream| {
        let socket = socket.clone();
        async move {
            let mut server = UnixStream::connect(&socket).await?;
            copy_bidirectional(&mut stream, &mut server).await?;
            Ok(())
        }
    })
    .await?;
    let mut agent = place.tcp(&bridge.port(), &[])?;
    let port = address(&agent.url().await?)?.port();
    let name = before.rsplit('/').next().context("no name")?;
    let mut psql = Command::new("psql");
    psql.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "adit_test", "-d", name, "-XAtc"]);
    psql.arg("SELECT sum(n) FROM generate_series(1, 1000) n").env("PGPASSWORD", "adit_test");
    psql.env("PGSSLMODE", "disable").stdin(Stdio::null()).kill_on_drop(true);
    let output = within("psql ends", WITHIN, psql.output()).await??;
    let printed = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.0.trim(), "500500", "{printed:?}");
    Ok(())
}
