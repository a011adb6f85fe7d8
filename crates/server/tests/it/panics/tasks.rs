//! Each kind of task that a node has: it ends alone, the operator is told, and whoever comes next is served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use adit_authority::{BoxFuture, Unavailable, Usage, UsageRow};
use adit_domain::EndpointKind;
use adit_domain::id::TenantId;
use adit_mux::{Answer, Incoming, Stream};
use adit_net::tls;
use adit_server::ServerError;
use adit_server::limits::DATAGRAMS_QUEUED_MAX;
use adit_wire::control::{Bind, Frame};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use super::{HOST, plant, serving, status, within};
use crate::support::agent::{Identity, TestAgent, bind};
use crate::support::authority::Authority;
use crate::support::node::TestNode;
use crate::support::planted::PlantedLog;
use crate::support::visitor::Visitor;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A node with an endpoint that has a port, and its agent.
async fn at_a_port(kind: EndpointKind, per_address: u32) -> (TestNode, TestAgent, SocketAddr) {
    let node = TestNode::built(Authority::new(), |builder| {
        builder.ports_at(HERE).connections_per_address(per_address)
    });
    let agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let mut agent = agent;
    let free = adit_net::listen::bind((HERE, 0).into()).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let bind = Bind { kind, port: NonZeroU16::new(address.port()), ..bind(HOST, agent.instance) };
    agent.control.send(&Frame::Bind(bind)).await.unwrap();
    assert!(matches!(agent.hear().await, Frame::Bound(_)));
    (node, agent, address)
}

async fn arrives(incoming: &mut Incoming) -> Stream {
    let mut stream = within(incoming.next()).await.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    stream
}

async fn udp_visitor(port: SocketAddr) -> UdpSocket {
    let visitor = UdpSocket::bind((HERE, 0)).await.unwrap();
    visitor.connect(port).await.unwrap();
    visitor.send(b"question").await.unwrap();
    visitor
}

/// Reads a stream's first bytes, whatever they are.
async fn says_something(stream: &mut Stream) {
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 1);
}

#[tokio::test]
async fn a_flow_of_datagrams() {
    let (log, _guard) = PlantedLog::start();
    let (_node, mut agent, port) = at_a_port(EndpointKind::Udp, 100).await;
    let (visitor, _other) = (udp_visitor(port).await, udp_visitor(port).await);
    let (first, second) = (arrives(&mut agent.incoming).await, arrives(&mut agent.incoming).await);
    log.plant("a visitor's flow ended");
    drop(first);
    log.told("udp flow", 1).await;
    // Its place is free, and the other flow is there.
    visitor.send(b"again").await.unwrap();
    let _again = arrives(&mut agent.incoming).await;
    drop(second);
}

/// What it had is closed; it is opened again, and its agent hears nothing of it.
#[tokio::test]
async fn the_port_of_a_udp_endpoint() {
    let (log, _guard) = PlantedLog::start();
    let (_node, mut agent, port) = at_a_port(EndpointKind::Udp, 100).await;
    let visitor = udp_visitor(port).await;
    let _flow = arrives(&mut agent.incoming).await;
    log.plant("datagrams were dropped");
    // Nobody reads the flow.
    for _ in 0..20 * DATAGRAMS_QUEUED_MAX {
        let _ = visitor.send(&[0; 1_024]).await;
        tokio::task::yield_now().await;
    }
    log.told("public port", 1).await;
    let begun = Instant::now();
    let another = udp_visitor(port).await;
    // A stream is enough: the datagram behind it came in by the port that is open again.
    let _flow = loop {
        let _ = another.send(b"question").await;
        if let Ok(arrival) = timeout(Duration::from_millis(100), agent.incoming.next()).await {
            break arrival.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{}", log.text());
    };
}

#[tokio::test]
async fn the_port_of_a_tcp_endpoint() {
    let (log, _guard) = PlantedLog::start();
    // The agent, and one visitor.
    let (_node, mut agent, port) = at_a_port(EndpointKind::Tcp, 2).await;
    let mut visitor = TcpStream::connect(port).await.unwrap();
    let mut stream = arrives(&mut agent.incoming).await;
    log.plant("too many connections from this address");
    drop(TcpStream::connect(port).await);
    log.told("public port", 1).await;
    // Who was there goes on.
    visitor.write_all(b"x").await.unwrap();
    says_something(&mut stream).await;
    drop((visitor, stream));
    let comes = async {
        loop {
            // Until it is opened again, and until the node has noticed that the other one has left.
            if let Ok(mut visitor) = TcpStream::connect(port).await
                && visitor.write_all(b"y").await.is_ok()
                && let Ok(Some(arrival)) = timeout(Duration::from_millis(100), agent.incoming.next()).await
            {
                // A visitor of before may have gone already.
                let mut stream = arrival.stream;
                if stream.send_answer(Answer::Dialled).await.is_ok()
                    && within(stream.read(&mut [0])).await.is_ok_and(|bytes| bytes == 1)
                {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    within(comes).await;
}

#[tokio::test]
async fn a_request_of_http2() {
    let (log, _guard) = PlantedLog::start();
    let node = TestNode::start();
    let (_, _control) = serving(&node).await;
    let config = tls::http_client(&node.roots, &[b"h2"]).unwrap();
    let soon = Instant::now() + Duration::from_mins(1);
    let io = tls::connect(config, HOST, node.dial_https().await, soon).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    let tasks = adit_process::tasks::Tasks::new("visitor");
    drop(tasks.spawn("connection", connection));
    let get = |host: &str| {
        let request = Request::get(format!("https://{host}/"));
        request.body(Empty::<bytes::Bytes>::new()).unwrap()
    };
    plant(&node.authority.panics.names);
    assert!(within(sender.send_request(get("nobody.localhost"))).await.is_err(), "an answer");
    log.told("http/2 request", 1).await;
    // The others of its connection go on.
    let answered = within(sender.send_request(get(HOST))).await.unwrap();
    assert_eq!(answered.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_connection_that_changed_to_another_protocol() {
    let (log, _guard) = PlantedLog::start();
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind(HOST).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut visitor = Visitor::connect(node.http).await;
        let head = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n");
        visitor.send(&head).await;
        let mut stream = arrives(&mut agent.incoming).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
        stream.write_all(switched).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(visitor.response().await.status(), 101);
        open.push((visitor, stream));
    }
    let (mut goes_on, mut its_service) = open.pop().unwrap();
    log.plant("upgraded connection ended");
    drop(open);
    log.told("upgraded connection", 1).await;
    goes_on.send("x").await;
    says_something(&mut its_service).await;
}

/// A control plane whose part for usage has a mistake.
struct Mistaken;

impl Usage for Mistaken {
    fn report<'a>(&'a self, _: &'a [UsageRow]) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async { panic!("a planted panic") })
    }
}

/// What nobody counts is not billed: the node ends rather than carry it.
#[tokio::test]
async fn what_keeps_usage_ends_the_node() {
    let (log, _guard) = PlantedLog::start();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().to_owned();
    let node = TestNode::built(Authority::new(), |builder| builder.metering(Arc::new(Mistaken), kept));
    let (_, _control) = serving(&node).await;
    assert_eq!(status(&node, HOST).await, 200);
    let ended = within(node.running).await.unwrap();
    let Err(ServerError::Upkeep(failed)) = ended else { panic!("{ended:?}") };
    assert!(failed.to_string().contains("keep usage"), "{failed}");
    log.told("keep usage", 1).await;
}
