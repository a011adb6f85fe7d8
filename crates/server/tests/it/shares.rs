//! What a tenant may use of a node, and what that leaves for others.

use std::time::Duration;

use adit_domain::UpstreamProtocol;
use adit_domain::id::TenantId;
use adit_mux::{Answer, Budget, Config, Stream};
use adit_server::limits::EXCHANGE_BYTES_MIN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::visitor::Visitor;

/// Streams that fit in the memory of this node.
const STREAMS: usize = 20;

/// One tenant with an agent, its visitors and what they hold.
struct Tenant {
    host: String,
    agent: TestAgent,
    visitors: Vec<Visitor>,
    streams: Vec<Stream>,
}

impl Tenant {
    async fn new(node: &TestNode, label: &str) -> Self {
        let host = format!("{label}.localhost");
        let mut agent = TestAgent::connect(node, &Identity::of(node, TenantId::new())).await;
        agent.bind(&host).await;
        Self { host, agent, visitors: Vec::new(), streams: Vec::new() }
    }

    async fn asks(&self, node: &TestNode) -> Visitor {
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send(&format!("POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", self.host)).await;
        visitor
    }

    /// One more request, which arrives and is never answered.
    async fn holds_one(&mut self, node: &TestNode) {
        self.visitors.push(self.asks(node).await);
        let arrival = timeout(Duration::from_mins(1), self.agent.incoming.next()).await;
        let mut stream = arrival.expect("nothing arrived").unwrap().stream;
        stream.send_answer(Answer::Dialled).await.unwrap();
        self.streams.push(stream);
    }

    async fn refused(&self, node: &TestNode) -> (u16, Option<String>) {
        let refused = self.asks(node).await.response().await;
        (refused.status(), refused.header("adit-error").map(str::to_owned))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_that_open_all_streams_they_can_leave_some_to_the_next() {
    let budget = Budget::new(STREAMS * EXCHANGE_BYTES_MIN);
    let node = TestNode::start_with(Config { budget, ..Config::default() });
    let mut tenants = Vec::new();
    // Each gets as many as are left beside it.
    for (label, streams) in [("one", 10), ("two", 5), ("three", 2), ("four", 1), ("five", 1)] {
        let mut tenant = Tenant::new(&node, label).await;
        for _ in 0..streams {
            tenant.holds_one(&node).await;
        }
        tenants.push(tenant);
        if label != "five" {
            let greedy = tenants.last().unwrap();
            assert_eq!(greedy.refused(&node).await, (503, Some("ADIT-2007".to_owned())), "{label}");
        }
    }
    // Now it is the node that is full, and nobody's endpoint.
    let late = Tenant::new(&node, "late").await;
    assert_eq!(late.refused(&node).await, (503, Some("ADIT-3003".to_owned())));
}

/// What an HTTP/2 upstream says of itself, and a response without a body to the first request (RFC 9113, section 6).
const H2_ANSWER: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88";

/// What a client says before its first frame, and the type of the frame that begins a request.
const H2_PREFACE_BYTES: usize = 24;
const H2_HEADERS: u8 = 1;

/// Reads a frame, and says of which type it is.
async fn h2_frame(stream: &mut Stream) -> u8 {
    let mut head = [0; 9];
    timeout(Duration::from_mins(1), stream.read_exact(&mut head)).await.expect("no frame").unwrap();
    let [a, b, c, kind, ..] = head;
    let bytes = u32::from_be_bytes([0, a, b, c]);
    stream.read_exact(&mut vec![0; usize::try_from(bytes).unwrap()]).await.unwrap();
    kind
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_http2_connection_gives_its_memory_to_a_request_that_needs_a_fresh_one() {
    // Alone a tenant has half: room for one connection to the upstream with its request, and not for a second one.
    let budget = Budget::new(2 * 800 * 1024);
    let node = TestNode::start_with(Config { budget, ..Config::default() });
    let host = "one.localhost".to_owned();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.protocol = UpstreamProtocol::H2c;
    agent.bind(&host).await;
    let mut tenant = Tenant { host, agent, visitors: Vec::new(), streams: Vec::new() };

    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", tenant.host)).await;
    let arrival = timeout(Duration::from_mins(1), tenant.agent.incoming.next()).await;
    let mut idle = arrival.expect("nothing arrived").unwrap().stream;
    idle.send_answer(Answer::Dialled).await.unwrap();
    // An answer to nothing would be a connection error.
    idle.read_exact(&mut [0; H2_PREFACE_BYTES]).await.unwrap();
    while h2_frame(&mut idle).await != H2_HEADERS {}
    idle.write_all(H2_ANSWER).await.unwrap();
    idle.flush().await.unwrap();
    assert_eq!(visitor.response().await.status(), 200);

    tenant.holds_one(&node).await;
    assert_eq!(tenant.refused(&node).await.0, 503);
}
