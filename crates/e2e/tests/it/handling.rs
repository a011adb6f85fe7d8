//! What an agent may wish about the requests to its HTTP service: to hear where visitors come from, and to get nothing twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_e2e::{Agent, Home, RawOrigin, SelfSigned, Stack, head_of, within};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

const HOST: &str = "app.localhost";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

struct Place {
    home: Home,
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        let stack = Stack::start().await?;
        let home = Home::new(&stack, &stack.tenant("acme").await?)?;
        Ok(Self { home, stack })
    }

    async fn agent(&self, upstream: &str, more: &[&str]) -> Result<Agent> {
        let mut agent = self.home.adit(&[&["http", upstream, "--url", "app", "--json"], more].concat())?;
        agent.url().await?;
        Ok(agent)
    }

    /// A visitor in the clear, from an address of its own.
    async fn visitor(&self, last: u8) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        Ok(within("a connection", WITHIN, socket.connect(self.stack.http())).await??)
    }
}

/// Asks, and returns the head of the response; its body is [`ANSWER`]'s.
async fn ask(visitor: &mut TcpStream, method: &str) -> Result<String> {
    let from = visitor.local_addr()?;
    let head = format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\nx-from: {from}\r\ncontent-length: 0\r\n\r\n");
    visitor.write_all(head.as_bytes()).await?;
    let head = head_of(visitor).await?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    let mut body = vec![0; length.parse()?];
    within("the body", WITHIN, visitor.read_exact(&mut body)).await??;
    Ok(head)
}

/// Reads a header of the PROXY protocol, version 1 or 2, and returns the visitor that it names.
async fn introduced<S: AsyncRead + Unpin>(stream: &mut S) -> Result<SocketAddr> {
    let mut start = [0; 5];
    stream.read_exact(&mut start).await?;
    if &start == b"PROXY" {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await?);
        }
        let line = String::from_utf8(line)?;
        let words: Vec<_> = line.split_whitespace().collect();
        let [_family, source, _to, port, _to_port] = words[..] else { anyhow::bail!("{line:?}") };
        return Ok(SocketAddr::new(source.parse()?, port.parse()?));
    }
    let mut rest = [0; 11 + 12];
    stream.read_exact(&mut rest).await?;
    assert_eq!([&start[..], &rest[..11]].concat(), b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    let ip: [u8; 4] = rest[11..15].try_into()?;
    Ok(SocketAddr::from((ip, u16::from_be_bytes(rest[19..21].try_into()?))))
}

/// Answers every request on a connection, and tells who was introduced and who asked.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    introduced: SocketAddr,
    told: &mpsc::Sender<(SocketAddr, String)>,
) -> Result<()> {
    loop {
        let head = head_of(stream).await?;
        let from = head.lines().find_map(|line| line.strip_prefix("x-from: ")).context("no visitor")?;
        told.send((introduced, from.to_owned())).await?;
        stream.write_all(ANSWER).await?;
        stream.flush().await?;
    }
}

#[tokio::test]
async fn each_connection_is_introduced_and_carries_that_visitors_request() -> Result<()> {
    let place = Place::start().await?;
    for version in ["1", "2"] {
        let (told, mut heard) = mpsc::channel(100);
        let origin = RawOrigin::start(move |mut stream| {
            let told = told.clone();
            async move {
                let visitor = introduced(&mut stream).await?;
                answer(&mut stream, visitor, &told).await
            }
        })
        .await?;
        let _agent = place.agent(&origin.port(), &["--proxy-protocol", version]).await?;
        let mut visitors = [place.visitor(2).await?, place.visitor(3).await?, place.visitor(4).await?];
        for method in ["GET", "POST", "GET"] {
            for visitor in &mut visitors {
                assert!(ask(visitor, method).await?.starts_with("HTTP/1.1 200 "));
                let (introduced, asked) = heard.recv().await.context("nobody was heard")?;
                assert_eq!(introduced, visitor.local_addr()?, "version {version}");
                assert_eq!(asked, introduced.to_string());
            }
        }
    }
    Ok(())
}

/// As load balancers do it: in front of the handshake.
#[tokio::test]
async fn an_https_service_is_told_before_tls() -> Result<()> {
    let place = Place::start().await?;
    let acceptor = SelfSigned::new("localhost")?.acceptor(&[]);
    let (told, mut heard) = mpsc::channel(100);
    let origin = RawOrigin::start(move |mut stream| {
        let (told, acceptor) = (told.clone(), acceptor.clone());
        async move {
            let visitor = introduced(&mut stream).await?;
            answer(&mut acceptor.accept(stream).await?, visitor, &told).await
        }
    })
    .await?;
    let upstream = format!("https://localhost:{}", origin.port());
    let _agent = place.agent(&upstream, &["--proxy-protocol", "2"]).await?;
    let mut visitor = place.visitor(2).await?;
    assert!(ask(&mut visitor, "GET").await?.starts_with("HTTP/1.1 200 "));
    assert_eq!(heard.recv().await.context("nobody was heard")?.0, visitor.local_addr()?);
    Ok(())
}

#[tokio::test]
async fn without_retry_a_request_that_may_have_been_heard_goes_out_once() -> Result<()> {
    let place = Place::start().await?;
    for (flags, status, times) in [(&[][..], "HTTP/1.1 200 ", 2), (&["--no-retry"], "HTTP/1.1 502 ", 1)] {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let origin = RawOrigin::start(move |mut stream| {
            let count = Arc::clone(&count);
            async move {
                head_of(&mut stream).await?;
                // Acts on the first, and is gone before it answers.
                if count.fetch_add(1, Ordering::SeqCst) > 0 {
                    stream.write_all(ANSWER).await?;
                    stream.shutdown().await?;
                }
                Ok(())
            }
        })
        .await?;
        let _agent = place.agent(&origin.port(), flags).await?;
        let head = ask(&mut place.visitor(2).await?, "GET").await?;
        assert!(head.starts_with(status), "{flags:?}: {head}");
        assert_eq!(requests.load(Ordering::SeqCst), times, "{flags:?}");
    }
    Ok(())
}
