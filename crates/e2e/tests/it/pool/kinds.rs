//! Several agents, one endpoint of the kind tcp, tls or udp.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{
    Agent, Home, Key, Options, PortSlot, RawOrigin, SelfSigned, Signal, Stack, UdpOrigin, UdpVisitor,
    believing, within,
};
use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// One step, on a slow and busy machine.
const WITHIN: Duration = Duration::from_mins(1);

/// The endpoint's name.
const NAME: &str = "demo.localhost";

/// Where most visitors are.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A stack with public ports, and a tenant.
struct Place {
    key: Key,
    stack: Stack,
}

/// A member of a pool on a computer of its own.
struct Member {
    agent: Agent,
    url: String,
    _home: Home,
}

impl Place {
    async fn start() -> Result<Self> {
        let stack =
            Stack::start_with(Options { ports: Some(PortSlot::take()?), ..Options::default() }).await?;
        Ok(Self { key: stack.tenant("acme").await?, stack })
    }

    async fn join(&self, kind: &str, upstream: &str, more: &[&str]) -> Result<Member> {
        let home = Home::new(&self.stack, &self.key)?;
        let common = [kind, upstream, "--json", "--url", "demo", "--pooling", "--balance", "round-robin"];
        let mut agent = home.adit(&[&common, more].concat())?;
        Ok(Member { url: agent.url().await?, agent, _home: home })
    }
}

/// The port in a URL, on the loopback address.
fn address(url: &str) -> Result<SocketAddr> {
    let port = url.rsplit(':').next().context("no port")?;
    Ok(SocketAddr::from((HERE, port.parse()?)))
}

async fn connect(from: Ipv4Addr, url: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = within("a connection", WITHIN, socket.connect(address(url)?)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Says who it is, then sends everything back.
async fn answer<S: AsyncRead + AsyncWrite>(who: u8, stream: S) -> Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    writing.write_all(&[who]).await?;
    tokio::io::copy(&mut reading, &mut writing).await?;
    writing.shutdown().await?;
    Ok(())
}

/// Who answers, which has to be complete.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<u8> {
    let mut heard = Vec::new();
    let asking = async {
        stream.write_all(b"who").await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut heard).await
    };
    within("an answer", WITHIN, asking).await??;
    let (who, rest) = heard.split_first().context("no answer")?;
    ensure!(rest == b"who", "{rest:?}");
    Ok(*who)
}

async fn tcp_service(who: u8) -> Result<RawOrigin> {
    RawOrigin::start(move |stream| answer(who, stream)).await
}

async fn tcp_visit(from: Ipv4Addr, url: &str) -> Result<u8> {
    ask(connect(from, url).await?).await
}

/// TLS servers, each with a certificate of its own, and whoever believes these and no other.
struct TlsServices {
    members: [RawOrigin; 2],
    client: TlsConnector,
}

impl TlsServices {
    async fn start() -> Result<Self> {
        let keys = [SelfSigned::new(NAME)?, SelfSigned::new(NAME)?];
        let members = [tls_service(b'a', &keys[0]).await?, tls_service(b'b', &keys[1]).await?];
        let client = believing(keys.map(|keys| keys.certificate().clone()))?;
        Ok(Self { members, client: TlsConnector::from(Arc::new(client)) })
    }

    async fn visit(&self, from: Ipv4Addr, url: &str) -> Result<u8> {
        let stream = connect(from, url).await?;
        let handshake = self.client.connect(ServerName::try_from(NAME)?, stream);
        ask(within("a handshake", WITHIN, handshake).await??).await
    }
}

async fn tls_service(who: u8, keys: &SelfSigned) -> Result<RawOrigin> {
    let acceptor = keys.acceptor(&[]);
    RawOrigin::start(move |stream| {
        let acceptor = acceptor.clone();
        async move { answer(who, acceptor.accept(stream).await?).await }
    })
    .await
}

async fn udp_service(who: u8) -> Result<UdpOrigin> {
    UdpOrigin::start(move |datagram| vec![[&[who], datagram].concat()]).await
}

/// Who answers this question. A question that was asked twice has a second answer, which comes before that to the next one.
async fn who(visitor: &UdpVisitor, question: &[u8]) -> Result<u8> {
    loop {
        let answer = visitor.ask_until_answered(question).await?;
        let (who, rest) = answer.split_first().context("no answer")?;
        if rest == question {
            return Ok(*who);
        }
    }
}

/// Two members, `a` and `b`: visits are shared evenly, and whoever ends, in whichever way, costs no visit.
async fn assert_shared(
    kind: &str,
    upstreams: [String; 2],
    visit: impl AsyncFn(&str) -> Result<u8>,
) -> Result<()> {
    let place = Place::start().await?;
    let [a_upstream, b_upstream] = upstreams;
    let mut a = place.join(kind, &a_upstream, &[]).await?;
    let mut b = place.join(kind, &b_upstream, &[]).await?;
    let url = a.url.clone();
    assert_eq!(b.url, url);
    for signal in [Signal::INT, Signal::KILL] {
        assert_eq!(visits(20, &url, &visit).await?, [10, 10], "before {signal:?}");
        a.agent.program().signal(signal)?;
        a.agent.program().end(WITHIN).await?;
        assert_eq!(visits(10, &url, &visit).await?, [0, 10], "after {signal:?}");
        a = place.join(kind, &a_upstream, &[]).await?;
    }
    assert_eq!(visits(20, &url, &visit).await?, [10, 10], "both are back");
    assert!(b.agent.program().running()? && !b.agent.has_said("replaced"));
    Ok(())
}

/// How many of so many visits each member has served.
async fn visits(count: u32, url: &str, visit: &impl AsyncFn(&str) -> Result<u8>) -> Result<[u32; 2]> {
    let mut served = [0; 2];
    for nth in 0..count {
        match visit(url).await.with_context(|| format!("visit {nth}, so far {served:?}"))? {
            b'a' => served[0] += 1,
            b'b' => served[1] += 1,
            other => anyhow::bail!("served by {other}"),
        }
    }
    Ok(served)
}

/// However often a visitor comes from an address, it meets the same member, and not all addresses meet the same one.
async fn assert_sticky(
    kind: &str,
    upstreams: [String; 2],
    visit: impl AsyncFn(Ipv4Addr, &str) -> Result<u8>,
) -> Result<()> {
    /// That all meet one by chance is one case in millions.
    const ADDRESSES: u8 = 25;
    let place = Place::start().await?;
    let [a, b] = upstreams;
    let sticky = ["--sticky", "address"];
    let a = place.join(kind, &a, &sticky).await?;
    let _b = place.join(kind, &b, &sticky).await?;
    let addresses: Vec<_> = (1..=ADDRESSES).map(|n| Ipv4Addr::new(127, 0, 7, n)).collect();
    let mut met = Vec::new();
    for from in &addresses {
        met.push(visit(*from, &a.url).await?);
    }
    for _ in 0..3 {
        for (from, first) in addresses.iter().zip(&met) {
            assert_eq!(visit(*from, &a.url).await?, *first, "{from}");
        }
    }
    assert!(met.contains(&b'a') && met.contains(&b'b'), "{met:?}");
    Ok(())
}

#[tokio::test]
async fn tcp_connections_are_shared() -> Result<()> {
    let services = [tcp_service(b'a').await?, tcp_service(b'b').await?];
    let upstreams = services.each_ref().map(RawOrigin::port);
    assert_shared("tcp", upstreams, async |url| tcp_visit(HERE, url).await).await
}

#[tokio::test]
async fn tls_connections_are_shared() -> Result<()> {
    let services = TlsServices::start().await?;
    let upstreams = services.members.each_ref().map(RawOrigin::port);
    assert_shared("tls", upstreams, async |url| services.visit(HERE, url).await).await
}

#[tokio::test]
async fn udp_flows_are_shared() -> Result<()> {
    let services = [udp_service(b'a').await?, udp_service(b'b').await?];
    // They stay, so that nobody gets the port of another, and its flow.
    let visitors = RefCell::new(Vec::new());
    let visit = async |url: &str| {
        let visitor = UdpVisitor::of(url).await?;
        let served = who(&visitor, b"who").await?;
        visitors.borrow_mut().push(visitor);
        Ok(served)
    };
    assert_shared("udp", services.each_ref().map(UdpOrigin::port), visit).await
}

#[tokio::test]
async fn udp_visitors_of_a_member_that_is_gone_go_on_with_another() -> Result<()> {
    let place = Place::start().await?;
    let (a_service, b_service) = (udp_service(b'a').await?, udp_service(b'b').await?);
    let mut a = place.join("udp", &a_service.port(), &[]).await?;
    let _b = place.join("udp", &b_service.port(), &[]).await?;
    let mut visitors = Vec::new();
    for nth in 0..4 {
        let visitor = UdpVisitor::of(&a.url).await?;
        let first = who(&visitor, b"first").await?;
        for round in 0..5 {
            // A flow stays where it began.
            assert_eq!(who(&visitor, &[round]).await?, first, "visitor {nth}");
        }
        visitors.push((visitor, first));
    }
    assert_eq!(visitors.iter().filter(|(_, first)| *first == b'a').count(), 2);
    a.agent.program().kill().await?;
    for (visitor, first) in &visitors {
        assert_eq!(who(visitor, b"last").await?, b'b', "who met {first} before");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_keeps_its_member_of_a_tcp_endpoint() -> Result<()> {
    let services = [tcp_service(b'a').await?, tcp_service(b'b').await?];
    assert_sticky("tcp", services.each_ref().map(RawOrigin::port), tcp_visit).await
}

#[tokio::test]
async fn an_address_keeps_its_member_of_a_tls_endpoint() -> Result<()> {
    let services = TlsServices::start().await?;
    let upstreams = services.members.each_ref().map(RawOrigin::port);
    assert_sticky("tls", upstreams, async |from, url| services.visit(from, url).await).await
}

/// Each visit is a flow of its own, from another port.
#[tokio::test]
async fn an_address_keeps_its_member_of_a_udp_endpoint() -> Result<()> {
    let services = [udp_service(b'a').await?, udp_service(b'b').await?];
    // They stay, so that nobody gets the port of another, and its flow.
    let visitors = RefCell::new(Vec::new());
    let visit = async |from: Ipv4Addr, url: &str| {
        let visitor = UdpVisitor::at(from, url).await?;
        let served = who(&visitor, b"who").await?;
        visitors.borrow_mut().push(visitor);
        Ok(served)
    };
    assert_sticky("udp", services.each_ref().map(UdpOrigin::port), visit).await
}
