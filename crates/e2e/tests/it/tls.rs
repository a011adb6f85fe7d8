//! Endpoints of kind tls: the node passes a visitor's TLS on as it is, and the key is at the agent's side only.

mod held;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{
    Agent, Home, Options, Pattern, PortSlot, RawOrigin, SelfSigned, Signal, Stack, Visitor, believing,
    in_pieces, until, within,
};
use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

/// The endpoint's name.
pub(super) const NAME: &str = "secret.localhost";

/// A TLS server with a certificate of its own for [`NAME`], which sends back what it gets.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) origin: Arc<RawOrigin>,
    keys: SelfSigned,
}

impl Service {
    pub(super) async fn start() -> Result<Self> {
        let keys = SelfSigned::new(NAME)?;
        let acceptor = keys.acceptor(&[]);
        let origin = RawOrigin::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let (mut reading, mut writing) = tokio::io::split(acceptor.accept(stream).await?);
                tokio::io::copy(&mut reading, &mut writing).await?;
                writing.shutdown().await?;
                Ok(())
            }
        })
        .await?;
        Ok(Self { origin: Arc::new(origin), keys })
    }

    /// A visitor's TLS, which believes this service's certificate and no other. Hellos come in records of at most
    /// `record_bytes`.
    fn client(&self, record_bytes: Option<usize>) -> Result<TlsConnector> {
        let mut config = believing([self.keys.certificate().clone()])?;
        config.max_fragment_size = record_bytes;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    pub(super) async fn visit(&self, at: SocketAddr) -> Result<client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(at).await?;
        let name = ServerName::try_from(NAME)?;
        Ok(within("a handshake", WITHIN, self.client(None)?.connect(name, stream)).await??)
    }
}

struct Place {
    agent: Agent,
    home: Home,
    service: Service,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        let stack =
            Stack::start_with(Options { ports: Some(PortSlot::take()?), ..Options::default() }).await?;
        let home = Home::new(&stack, &stack.tenant("acme").await?)?;
        let service = Service::start().await?;
        let mut agent = home.adit(&["tls", &service.origin.port(), "--url", "secret", "--json"])?;
        let url = agent.url().await?;
        assert_eq!(url, format!("tls://{NAME}:{}", stack.https().port()));
        Ok(Self { agent, home, service, stack })
    }
}

#[tokio::test]
async fn the_visitor_talks_to_the_services_own_certificate() -> Result<()> {
    let place = Place::start().await?;
    let mut stream = place.service.visit(place.stack.https()).await?;
    let sent = Pattern::new(1).take(300_000);
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let write = async {
        writing.write_all(&sent).await?;
        writing.shutdown().await
    };
    let mut received = Vec::new();
    let both = async { tokio::try_join!(write, reading.read_to_end(&mut received)) };
    within("everything comes back", WITHIN, both).await??;
    assert!(received == sent);
    Ok(())
}

/// The hello has a post-quantum key share, so it is longer than a network's usual packet.
#[tokio::test]
async fn a_hello_may_come_in_any_pieces_and_records() -> Result<()> {
    let place = Place::start().await?;
    for (piece_bytes, record_bytes) in
        [(1, None), (1, Some(32)), (7, Some(100)), (700, None), (1_400, Some(512)), (16_384, Some(64))]
    {
        let network = in_pieces(TcpStream::connect(place.stack.https()).await?, piece_bytes)?;
        let connector = place.service.client(record_bytes)?;
        let handshake = connector.connect(ServerName::try_from(NAME)?, network);
        let mut stream = within("a handshake", WITHIN, handshake).await??;
        stream.write_all(b"ping").await?;
        let mut back = [0; 4];
        within("an answer", WITHIN, stream.read_exact(&mut back)).await??;
        assert_eq!(&back, b"ping", "{piece_bytes} {record_bytes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_its_agent_the_node_does_not_answer_in_its_name() -> Result<()> {
    let mut place = Place::start().await?;
    place.agent.program().signal(Signal::INT)?;
    place.agent.program().end(WITHIN).await?;
    // This visitor would believe the node's certificate.
    let visitor = Visitor::new(&place.stack, NAME)?;
    let error = visitor.tls(&["http/1.1"]).await.err().context("the node answered")?;
    assert!(format!("{error:?}").contains("InternalError"), "{error:?}");
    // It is back with its agent.
    let mut agent = place.home.adit(&["tls", &place.service.origin.port(), "--url", "secret", "--json"])?;
    agent.url().await?;
    place.service.visit(place.stack.https()).await?;
    Ok(())
}

#[tokio::test]
async fn http_does_not_find_it() -> Result<()> {
    let place = Place::start().await?;
    // In the clear, where there is no handshake to name it.
    let visitor = Visitor::new(&place.stack, NAME)?;
    assert_eq!(visitor.http().await?.get("/").await?.status(), 421);
    Ok(())
}

#[tokio::test]
async fn the_node_never_has_what_visitors_say() -> Result<()> {
    let mut place = Place::start().await?;
    let at = place.stack.https();
    let hidden = Pattern::new(rand()).take(48);
    let mut stream = place.service.visit(at).await?;
    for _ in 0..200 {
        stream.write_all(&hidden).await?;
        stream.flush().await?;
        let mut back = vec![0; hidden.len()];
        within("an answer", WITHIN, stream.read_exact(&mut back)).await??;
        assert!(back == hidden);
    }
    // The control: what passes in the clear is found, by the same search and at the same time. Its upstream never reads,
    // so it stays where it is.
    let plain = Pattern::new(rand()).take(48);
    let deaf = RawOrigin::start(async |_stream| std::future::pending().await).await?;
    let mut agent = place.home.adit(&["tcp", &deaf.port(), "--json"])?;
    let url = agent.url().await?;
    let port: u16 = url.rsplit(':').next().context("no port")?.parse()?;
    let mut open = TcpStream::connect(("127.0.0.1", port)).await?;
    let filler = plain.repeat(200_000);
    Tasks::new("filler").spawn("fill", async move { open.write_all(&filler).await });
    let program = place.stack.program();
    until("what passes in the clear is found", WITHIN, || async {
        program.memory_holds(&plain).unwrap_or_default()
    })
    .await?;
    assert!(!program.memory_holds(&hidden)?, "the node has seen what was said in TLS");
    drop(stream);
    Ok(())
}

/// Another number in each run, so that no pattern can be anywhere by chance.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(())
}

#[tokio::test]
async fn the_upstream_hears_where_visitors_come_from() -> Result<()> {
    let stack = Stack::start_with(Options { ports: Some(PortSlot::take()?), ..Options::default() }).await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    // Whatever comes first, in one answer.
    let origin = RawOrigin::start(async |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        stream.write_all(&all).await?;
        Ok(())
    })
    .await?;
    let upstream: u16 = origin.port().parse()?;
    for version in ["1", "2"] {
        let mut agent = home.adit(&["tcp", &origin.port(), "--proxy-protocol", version, "--json"])?;
        let url = agent.url().await?;
        let port: u16 = url.rsplit(':').next().context("no port")?.parse()?;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let visitor = stream.local_addr()?.port();
        stream.write_all(b"hello").await?;
        stream.shutdown().await?;
        let mut back = Vec::new();
        within("an answer", WITHIN, stream.read_to_end(&mut back)).await??;
        let expected = if version == "1" {
            format!("PROXY TCP4 127.0.0.1 127.0.0.1 {visitor} {upstream}\r\nhello").into_bytes()
        } else {
            let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
            header.extend(visitor.to_be_bytes());
            header.extend(upstream.to_be_bytes());
            header.extend(b"hello");
            header
        };
        assert_eq!(back, expected, "version {version}");
        agent.program().signal(Signal::INT)?;
        agent.program().end(WITHIN).await?;
    }
    Ok(())
}
