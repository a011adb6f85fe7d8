//! What a tenant may use of a node, and what that leaves for others.

use std::time::Duration;

use adit_domain::id::TenantId;
use adit_mux::limits::STREAM_BYTES_RESERVED;
use adit_mux::{Answer, Budget, Config, Stream};
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent};
use crate::support::node::TestNode;
use crate::support::visitor::Visitor;

/// Streams that one tenant may have open here.
const STREAMS_PER_TENANT: usize = 5;

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
async fn a_tenant_that_opens_all_streams_it_can_leaves_the_others_theirs() {
    let budget = Budget::new(4 * STREAMS_PER_TENANT * STREAM_BYTES_RESERVED);
    let node = TestNode::start_with(Config { budget, ..Config::default() });
    let mut greedy = Tenant::new(&node, "greedy").await;
    for _ in 0..STREAMS_PER_TENANT {
        greedy.holds_one(&node).await;
    }
    assert_eq!(greedy.refused(&node).await, (503, Some("ADIT-2007".to_owned())));

    let mut others = Vec::new();
    for label in ["two", "three", "four"] {
        let mut other = Tenant::new(&node, label).await;
        for _ in 0..STREAMS_PER_TENANT {
            other.holds_one(&node).await;
        }
        others.push(other);
    }
    // Now it is the node that is full, and nobody's endpoint.
    let late = Tenant::new(&node, "late").await;
    assert_eq!(late.refused(&node).await, (503, Some("ADIT-3003".to_owned())));
}
