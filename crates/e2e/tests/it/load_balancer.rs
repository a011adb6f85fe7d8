//! A load balancer before the node that says whom each connection comes from, with the PROXY protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{Home, Options, PortSlot, RawOrigin, SelfSigned, Stack, believing, head_of, until, within};
use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

/// Where the load balancer is. Agents and other visitors come from 127.0.0.1.
const FRONT: [u8; 4] = [127, 0, 0, 9];

const HOST: &str = "app.localhost";

/// 203.0.113.7:4242 came to 127.0.0.1:443.
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 4242 443\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xcb\0\x71\x07\x7f\0\0\x01\x10\x92\x01\xbb\x04\0\x04pad!";
/// Connections of the load balancer's own.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

struct Place {
    home: Home,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        let options = Options {
            ports: Some(PortSlot::take()?),
            trusted_proxy: Some("192.0.2.0/24,127.0.0.9"),
            ..Options::default()
        };
        let stack = Stack::start_with(options).await?;
        let home = Home::new(&stack, &stack.tenant("acme").await?)?;
        Ok(Self { home, stack })
    }
}

/// A service that answers each request with whom it is told to come from.
async fn echoes_address() -> Result<RawOrigin> {
    RawOrigin::start(async |mut stream| {
        loop {
            let head = head_of(&mut stream).await?;
            let field =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let told = field("x-forwarded-for: ");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}", told.len());
            stream.write_all(answer.as_bytes()).await?;
        }
    })
    .await
}

async fn from(ip: [u8; 4], to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((ip, 0)))?;
    let stream = within("a connection", WITHIN, socket.connect(to)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: app.localhost\r\nconnection: close\r\n\r\n";

async fn body(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> Result<String> {
    stream.write_all(REQUEST.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    within("an answer", WITHIN, stream.read_to_string(&mut answer)).await??;
    let (_head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer}"))?;
    Ok(body.to_owned())
}

fn tls(stack: &Stack) -> Result<TlsConnector> {
    let certificates = CertificateDer::pem_file_iter(stack.ca_file())?.collect::<Result<Vec<_>, _>>()?;
    Ok(TlsConnector::from(Arc::new(believing(certificates)?)))
}

/// A service that is told by a line whom each connection comes from, then ends TLS itself and answers with the line. And
/// whoever believes its certificate, and no other.
async fn echoes_line() -> Result<(RawOrigin, TlsConnector)> {
    let keys = SelfSigned::new(HOST)?;
    let acceptor = keys.acceptor(&[]);
    let origin = RawOrigin::start(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await?);
            }
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(&line).await?;
            Ok(stream.shutdown().await?)
        }
    })
    .await?;
    Ok((origin, keys.connector()?))
}

#[tokio::test]
async fn http_services_hear_of_the_visitor_behind_it() -> Result<()> {
    let place = Place::start().await?;
    let origin = echoes_address().await?;
    let mut agent = place.home.http(&origin.port(), Some("app"))?;
    agent.url().await?;
    for (header, told) in
        [(LINE, "203.0.113.7"), (BINARY, "203.0.113.7"), (UNKNOWN, "127.0.0.9"), (LOCAL, "127.0.0.9")]
    {
        let mut plain = from(FRONT, place.stack.http()).await?;
        plain.write_all(header).await?;
        assert_eq!(body(&mut plain).await?, told);
        let mut stream = from(FRONT, place.stack.https()).await?;
        // However it is cut.
        for byte in header {
            stream.write_all(&[*byte]).await?;
        }
        let handshake = tls(&place.stack)?.connect(ServerName::try_from(HOST)?, stream);
        let mut stream = within("a handshake", WITHIN, handshake).await??;
        assert_eq!(body(&mut stream).await?, told);
    }
    Ok(())
}

#[tokio::test]
async fn tcp_services_hear_of_the_visitor_behind_it() -> Result<()> {
    let place = Place::start().await?;
    let origin = RawOrigin::start(async |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        stream.write_all(&all).await?;
        Ok(())
    })
    .await?;
    let mut agent = place.home.adit(&["tcp", &origin.port(), "--proxy-protocol", "1", "--json"])?;
    let port: u16 = agent.url().await?.rsplit(':').next().context("no port")?.parse()?;
    let mut stream = from(FRONT, SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.write_all(&[BINARY, b"hello"].concat()).await?;
    stream.shutdown().await?;
    let mut heard = String::new();
    within("an answer", WITHIN, stream.read_to_string(&mut heard)).await??;
    assert_eq!(heard, format!("PROXY TCP4 203.0.113.7 127.0.0.1 4242 {}\r\nhello", origin.port()));
    Ok(())
}

/// The node passes TLS on: what stands before it is the load balancer's, and what follows is not touched.
#[tokio::test]
async fn services_that_end_tls_themselves_hear_of_the_visitor_behind_it() -> Result<()> {
    let place = Place::start().await?;
    let (origin, believes) = echoes_line().await?;
    let arguments = ["tls", &origin.port(), "--url", "app", "--proxy-protocol", "1", "--json"];
    let mut agent = place.home.adit(&arguments)?;
    agent.url().await?;
    let told = async |ip, header: &[u8]| {
        let mut stream = from(ip, place.stack.https()).await?;
        let own = stream.local_addr()?.port();
        // However it is cut.
        for byte in header {
            stream.write_all(&[*byte]).await?;
        }
        let handshake = believes.connect(ServerName::try_from(HOST)?, stream);
        let mut stream = within("a handshake", WITHIN, handshake).await??;
        let mut line = String::new();
        within("an answer", WITHIN, stream.read_to_string(&mut line)).await??;
        anyhow::Ok((line, own))
    };
    let line = |ip: &str, port: u16| format!("PROXY TCP4 {ip} 127.0.0.1 {port} {}\r\n", origin.port());
    for header in [BINARY, LINE] {
        assert_eq!(told(FRONT, header).await?.0, line("203.0.113.7", 4242));
    }
    for header in [LOCAL, UNKNOWN] {
        let (said, own) = told(FRONT, header).await?;
        assert_eq!(said, line("127.0.0.9", own));
    }
    let (said, own) = told([127, 0, 0, 8], b"").await?;
    assert_eq!(said, line("127.0.0.8", own));
    assert!(told([127, 0, 0, 8], BINARY).await.is_err(), "a stranger was believed");
    Ok(())
}

#[tokio::test]
async fn nobody_else_is_believed() -> Result<()> {
    let place = Place::start().await?;
    let origin = echoes_address().await?;
    let mut agent = place.home.http(&origin.port(), Some("app"))?;
    agent.url().await?;
    for header in [LINE, BINARY] {
        let mut plain = from([127, 0, 0, 8], place.stack.http()).await?;
        plain.write_all(header).await?;
        plain.write_all(REQUEST.as_bytes()).await?;
        let mut answer = String::new();
        // It may be reset after the answer.
        let _end = within("an answer", WITHIN, plain.read_to_string(&mut answer)).await?;
        assert!(!answer.contains(" 200 ") && !answer.contains("203.0.113.7"), "{answer}");

        let mut stream = from([127, 0, 0, 8], place.stack.https()).await?;
        stream.write_all(header).await?;
        let end = within("an end", WITHIN, stream.read(&mut [0])).await?;
        assert!(!matches!(end, Ok(1..)), "{end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_load_balancer_that_says_nothing_is_told_to_its_operator() -> Result<()> {
    let mut place = Place::start().await?;
    let mut stream = from(FRONT, place.stack.http()).await?;
    stream.write_all(REQUEST.as_bytes()).await?;
    let mut answer = Vec::new();
    assert!(within("an end", WITHIN, stream.read_to_end(&mut answer)).await?.is_err() && answer.is_empty());
    let program = place.stack.program();
    until("the log says why", WITHIN, || async {
        let log = program.log();
        log.contains("did not say whom a connection comes from")
            && log.contains("the connection does not begin with a PROXY protocol header")
    })
    .await
}
