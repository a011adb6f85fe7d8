//! `adit tls --cert --key`: the agent speaks TLS with visitors, the node still passes it on, and the service knows none.

mod hello;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{Agent, Home, Options, Origin, Pattern, PortSlot, RawOrigin, Stack, believing, until, within};
use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::{TlsConnector, client};

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

/// The endpoint's name.
const NAME: &str = "ended.localhost";

/// More than all buffers on the way hold.
const LARGE_BYTES: usize = 3_000_000;

/// A certificate and its key in files of an agent's computer.
struct Pair {
    chain: PathBuf,
    key: PathBuf,
    certificate: CertificateDer<'static>,
}

impl Pair {
    fn new(home: &Home, name: &str) -> Result<Self> {
        let (chain, key) = (home.path().join("chain.pem"), home.path().join("key.pem"));
        let certificate = write(&chain, &key, name)?;
        Ok(Self { chain, key, certificate })
    }

    fn flags(&self) -> Result<[&str; 4]> {
        let (chain, key) = (self.chain.to_str().context("a path")?, self.key.to_str().context("a path")?);
        Ok(["--cert", chain, "--key", key])
    }
}

/// Writes a new pair over what is there.
fn write(chain: &PathBuf, key: &PathBuf, name: &str) -> Result<CertificateDer<'static>> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()])?;
    fs::write(chain, cert.pem())?;
    private(key, &signing_key.serialize_pem())?;
    Ok(cert.der().clone())
}

fn private(path: &PathBuf, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// Visitors of [`NAME`] who believe one certificate.
struct Visitors {
    at: SocketAddr,
    tls: ClientConfig,
}

impl Visitors {
    fn of(at: SocketAddr, certificate: &CertificateDer<'static>) -> Result<Self> {
        Ok(Self { at, tls: believing([certificate.clone()])? })
    }

    async fn visit(&self) -> Result<client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(self.tls.clone()));
        let handshake = connector.connect(ServerName::try_from(NAME)?, stream);
        Ok(within("a handshake", WITHIN, handshake).await??)
    }
}

struct Place {
    home: Home,
    pair: Pair,
    visitors: Visitors,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Result<Self> {
        let stack = Stack::start_with(options).await?;
        let home = Home::new(&stack, &stack.tenant("acme").await?)?;
        let pair = Pair::new(&home, NAME)?;
        let visitors = Visitors::of(stack.https(), &pair.certificate)?;
        Ok(Self { home, pair, visitors, stack })
    }

    /// An agent that ends TLS for this upstream, ready for visitors.
    async fn agent(&self, upstream: &str, more: &[&str]) -> Result<Agent> {
        let name = ["--url", "ended", "--json"];
        let mut agent =
            self.home.adit(&[&["tls", upstream], &name[..], &self.pair.flags()?[..], more].concat())?;
        agent.url().await?;
        Ok(agent)
    }
}

/// A listener on a port of its own, and the port as an agent is told.
async fn listener() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port().to_string();
    Ok((listener, port))
}

/// A service that sends back what it hears.
async fn echo() -> Result<RawOrigin> {
    RawOrigin::start(async |mut stream| {
        let (mut reading, mut writing) = stream.split();
        tokio::io::copy(&mut reading, &mut writing).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_service_hears_what_the_visitor_says_and_each_end_by_itself() -> Result<()> {
    let place = Place::start().await?;
    let (listener, port) = listener().await?;
    let _agent = place.agent(&port, &[]).await?;
    let mut visitor = place.visitors.visit().await?;
    let (mut service, _) = within("a connection", WITHIN, listener.accept()).await??;
    let (question, answer) = (Pattern::new(1).take(LARGE_BYTES), Pattern::new(2).take(LARGE_BYTES));

    // Both at once: neither side may wait for the other.
    let (mut reading, mut writing) = tokio::io::split(&mut visitor);
    let asks = async {
        writing.write_all(&question).await?;
        writing.shutdown().await
    };
    let mut asked = Vec::new();
    within("the whole question", WITHIN, async { tokio::try_join!(asks, service.read_to_end(&mut asked)) })
        .await??;
    assert!(asked == question, "{} bytes", asked.len());

    // The visitor has ended its side, and hears the whole answer.
    let mut answered = Vec::new();
    let answers = async {
        service.write_all(&answer).await?;
        service.shutdown().await
    };
    within("the whole answer", WITHIN, async {
        tokio::try_join!(answers, reading.read_to_end(&mut answered))
    })
    .await??;
    assert!(answered == answer, "{} bytes", answered.len());
    Ok(())
}

#[tokio::test]
async fn the_service_may_speak_and_end_first() -> Result<()> {
    let place = Place::start().await?;
    let (listener, port) = listener().await?;
    let _agent = place.agent(&port, &[]).await?;
    let mut visitor = place.visitors.visit().await?;
    let (mut service, _) = within("a connection", WITHIN, listener.accept()).await??;
    service.write_all(b"220 ready\r\n").await?;
    service.shutdown().await?;
    let mut heard = Vec::new();
    within("the end", WITHIN, visitor.read_to_end(&mut heard)).await??;
    assert_eq!(heard, b"220 ready\r\n");
    visitor.write_all(b"thanks").await?;
    visitor.shutdown().await?;
    let mut said = Vec::new();
    within("the other end", WITHIN, service.read_to_end(&mut said)).await??;
    assert_eq!(said, b"thanks");
    Ok(())
}

/// Anybody on the way could have ended TCP: only TLS's own end is one.
#[tokio::test]
async fn a_connection_that_ends_without_tls_saying_so_was_cut() -> Result<()> {
    let place = Place::start().await?;
    let (listener, port) = listener().await?;
    let _agent = place.agent(&port, &[]).await?;
    let mut visitor = place.visitors.visit().await?;
    let (mut service, _) = within("a connection", WITHIN, listener.accept()).await??;
    visitor.write_all(b"a part").await?;
    visitor.flush().await?;
    let mut piece = [0; 6];
    within("the part", WITHIN, service.read_exact(&mut piece)).await??;
    // FIN, and no close_notify.
    let (mut tcp, _) = visitor.into_inner();
    tcp.shutdown().await?;
    let error = within("the cut", WITHIN, service.read(&mut piece)).await?.err().context("a clean end")?;
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    Ok(())
}

#[tokio::test]
async fn a_service_that_breaks_off_does_not_look_complete() -> Result<()> {
    let place = Place::start().await?;
    let (listener, port) = listener().await?;
    let _agent = place.agent(&port, &[]).await?;
    let mut visitor = place.visitors.visit().await?;
    let (mut service, _) = within("a connection", WITHIN, listener.accept()).await??;
    service.write_all(b"a part").await?;
    let mut piece = [0; 6];
    within("the part", WITHIN, visitor.read_exact(&mut piece)).await??;
    service.set_zero_linger()?;
    drop(service);
    let error = within("the cut", WITHIN, visitor.read(&mut piece)).await?.err().context("a clean end")?;
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
    Ok(())
}

/// Offered both, a browser must end up with what the service speaks.
#[tokio::test]
async fn a_plain_web_server_is_served_over_https() -> Result<()> {
    let place = Place::start().await?;
    let origin = Origin::start().await?;
    let _agent = place.agent(&origin.port(), &[]).await?;
    let port = place.stack.https().port();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--http2", "--max-time", "60", "--output", "/dev/null"]);
    curl.args(["--write-out", "%{http_code} %{http_version}", "--cacert"]).arg(&place.pair.chain);
    curl.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), &format!("https://{NAME}:{port}/")]);
    let output = within("curl ends", WITHIN, curl.output()).await??;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200 1.1", "{output:?}");

    let mut offers = place.visitors;
    offers.tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    assert_eq!(offers.visit().await?.get_ref().1.alpn_protocol(), None);
    Ok(())
}

#[tokio::test]
async fn the_service_hears_where_visitors_come_from_before_what_they_say() -> Result<()> {
    let place = Place::start().await?;
    let (listener, port) = listener().await?;
    let _agent = place.agent(&port, &["--proxy-protocol", "1"]).await?;
    let mut visitor = place.visitors.visit().await?;
    let from = visitor.get_ref().0.local_addr()?.port();
    visitor.write_all(b"hello").await?;
    visitor.shutdown().await?;
    let (mut service, _) = within("a connection", WITHIN, listener.accept()).await??;
    let mut heard = Vec::new();
    within("all of it", WITHIN, service.read_to_end(&mut heard)).await??;
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {port}\r\nhello");
    assert_eq!(String::from_utf8_lossy(&heard), expected);
    Ok(())
}

#[tokio::test]
async fn of_a_handshake_that_fails_the_service_hears_nothing() -> Result<()> {
    let place = Place::start().await?;
    let (listener, port) = listener().await?;
    let _agent = place.agent(&port, &["--proxy-protocol", "1"]).await?;
    let stranger = generate_simple_self_signed(vec![NAME.to_owned()])?;
    let visitors = Visitors::of(place.visitors.at, stranger.cert.der())?;
    let error = visitors.visit().await.err().context("a stranger's certificate was believed")?;
    assert!(format!("{error:?}").contains("invalid peer certificate"), "{error:?}");
    let (mut service, _) = within("a connection", WITHIN, listener.accept()).await??;
    let heard = within("the end", WITHIN, service.read(&mut [0; 1])).await?;
    assert!(!matches!(heard, Ok(1..)), "the service heard {heard:?}");
    Ok(())
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_half_of_one_is_not() -> Result<()> {
    let place = Place::start().await?;
    // It takes every connection: there are many until the renewed one is there.
    let origin = RawOrigin::start(async |mut stream| {
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    })
    .await?;
    let mut agent = place.agent(&origin.port(), &[]).await?;
    place.visitors.visit().await?;

    // One file of two: what is in use stays, and the user is told what is wrong.
    let other = KeyPair::generate()?.serialize_pem();
    private(&place.pair.key, &other)?;
    let told = agent.event("warning", WITHIN).await?;
    let message = told["message"].as_str().context("no message")?;
    assert!(message.starts_with("the old certificate stays in use: the key in "), "{message}");
    place.visitors.visit().await?;

    let renewed = write(&place.pair.chain, &place.pair.key, NAME)?;
    let visitors = Visitors::of(place.visitors.at, &renewed)?;
    until("the renewed certificate is shown", WITHIN, || async { visitors.visit().await.is_ok() }).await
}

#[tokio::test]
async fn doubts_about_a_certificate_are_told_and_it_is_served() -> Result<()> {
    let place = Place::start().await?;
    let (_listener, port) = listener().await?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(["other.localhost".to_owned()])?;
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    fs::write(&place.pair.chain, params.self_signed(&key)?.pem())?;
    private(&place.pair.key, &key.serialize_pem())?;
    let arguments = [&["tls", &port, "--url", "ended", "--json"], &place.pair.flags()?[..]].concat();
    let mut agent = place.home.adit(&arguments)?;
    let expired = agent.event("warning", WITHIN).await?["message"].to_string();
    assert!(expired.contains("chain.pem expired at 2021-01-01T00:00:00"), "{expired}");
    let other = agent.event("warning", WITHIN).await?["message"].to_string();
    assert!(other.contains("chain.pem is not for ended.localhost"), "{other}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_a_certificate_is_said_at_the_start() -> Result<()> {
    let place = Place::start().await?;
    let chain = place.pair.chain.display().to_string();
    let key = place.pair.key.display().to_string();
    let refused = async |flags: &[&str], text: &str| {
        let mut command = place.home.command(&[&["tls", "8080"], flags].concat())?;
        let output = within("adit ends", WITHIN, command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(text), "{said}");
        anyhow::Ok(())
    };
    refused(&["--cert", &chain], "--key <FILE>").await?;
    refused(&["--key", &key], "--cert <FILE>").await?;
    refused(&["--cert", "/nowhere/chain.pem", "--key", &key], "cannot read /nowhere/chain.pem").await?;
    refused(&["--cert", &chain, "--key", "/nowhere/key.pem"], "/nowhere/key.pem does not exist").await?;
    refused(&["--cert", &key, "--key", &key], "holds no certificate").await?;
    fs::set_permissions(&place.pair.key, fs::Permissions::from_mode(0o644))?;
    refused(&["--cert", &chain, "--key", &key], "can be read by other users of this computer").await?;
    private(&place.pair.key, "")?;
    refused(&["--cert", &chain, "--key", &key], "holds no private key").await?;
    private(&place.pair.key, &KeyPair::generate()?.serialize_pem())?;
    refused(&["--cert", &chain, "--key", &key], "does not belong to the first certificate in").await
}

#[tokio::test]
async fn the_node_never_has_what_visitors_say() -> Result<()> {
    let mut place = Place::with(Options { ports: Some(PortSlot::take()?), ..Options::default() }).await?;
    let origin = echo().await?;
    let _agent = place.agent(&origin.port(), &[]).await?;
    let hidden = Pattern::new(rand()).take(48);
    let mut visitor = place.visitors.visit().await?;
    for _ in 0..200 {
        visitor.write_all(&hidden).await?;
        visitor.flush().await?;
        let mut back = vec![0; hidden.len()];
        within("an answer", WITHIN, visitor.read_exact(&mut back)).await??;
        assert!(back == hidden);
    }
    // The control: what passes in the clear is found, by the same search and at the same time.
    let plain = Pattern::new(rand()).take(48);
    let deaf = RawOrigin::start(async |_stream| std::future::pending().await).await?;
    let mut clear = place.home.adit(&["tcp", &deaf.port(), "--json"])?;
    let port: u16 = clear.url().await?.rsplit(':').next().context("no port")?.parse()?;
    let mut open = TcpStream::connect(("127.0.0.1", port)).await?;
    let filler = plain.repeat(200_000);
    Tasks::new("filler").spawn("fill", async move { open.write_all(&filler).await });
    let program = place.stack.program();
    until("what passes in the clear is found", WITHIN, || async {
        program.memory_holds(&plain).unwrap_or_default()
    })
    .await?;
    assert!(!program.memory_holds(&hidden)?, "the node has seen what was said in TLS");
    Ok(())
}

/// Another number in each run, so that no pattern can be anywhere by chance.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(())
}
