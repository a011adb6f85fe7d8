//! Agents with a valid capability that misuse yamux: their sessions end or are slowed down, and neither the node nor the
//! tenant beside them notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_domain::id::{InstanceId, TenantId};
use adit_mux::Budget;
use adit_mux::limits::STREAM_BYTES_MAX;
use adit_process::tasks::Tasks;
use adit_testkit::ledger::{Slowdown, slower};
use adit_testkit::until;
use adit_testkit::yamux::{Trap, hello};
use adit_wire::control::{Frame, GoodbyeReason};
use adit_wire::preface::Status;

use crate::support::agent::{Identity, TestAgent, bind, preface};
use crate::support::authority::{Authority, LIMITS};
use crate::support::node::TestNode;
use crate::support::upstream::{self, Reply};
use crate::support::visitor::Visitor;

const NEIGHBOUR: &str = "calm.localhost";

/// Sessions of each hostile agent, one after the other: more than its tenant may have at once.
const ROUNDS: usize = 6;

/// So few that the sessions of all would not fit, if each left something behind.
const CONNECTIONS: usize = 64;

/// What one of them says in a session.
const BYTES: usize = 256 * 1024;

/// A peer that reads nothing is given up sooner than in production.
const WRITE_STALL: Duration = Duration::from_secs(1);

const WITHIN: Duration = Duration::from_mins(1);

const VISITS: usize = 300;

/// All of them, the node and the visitors share a few processors: only what stands still is found.
const SLOWDOWN: Slowdown = Slowdown { percent_max: 500, noise: Duration::from_secs(3) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_agents_end_their_sessions_and_nobody_else_notices() {
    let budget = Budget::new(STREAM_BYTES_MAX);
    let sessions = adit_mux::Config { write_stall: WRITE_STALL, budget: budget.clone(), ..<_>::default() };
    let node = Arc::new(TestNode::built(Authority::new(), |builder| {
        builder.sessions(sessions).connections(CONNECTIONS)
    }));
    let neighbour = neighbour(&node).await;
    let usual = visits(&node, VISITS).await;

    let tasks = Tasks::new("hostile agents");
    let (mut tenants, mut agents) = (Vec::new(), Vec::new());
    for trap in Trap::ALONE.into_iter().chain(Trap::VISITED) {
        let identity = Arc::new(Identity::of(&node, TenantId::new()));
        tenants.push(Arc::clone(&identity));
        agents.push(tasks.spawn("hostile agent", again_and_again(trap, Arc::clone(&node), identity)));
    }
    let mut during = Vec::new();
    while tasks.running() > 0 {
        during.extend(visits(&node, 10).await);
    }
    for agent in agents {
        agent.await.unwrap();
    }
    let after = visits(&node, VISITS).await;
    assert_eq!(slower(&usual, &during, SLOWDOWN), None);
    assert_eq!(slower(&usual, &after, SLOWDOWN), None);

    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
    neighbour.send(&goodbye).await.unwrap();
    for tenant in tenants {
        has_all_places(&node, &tenant).await;
    }
    until("no stream holds memory", WITHIN, async || budget.used_bytes() == 0).await.unwrap();
}

/// An honest agent, whose upstream answers everything.
async fn neighbour(node: &TestNode) -> adit_mux::Control {
    let mut agent = TestAgent::connect(node, &Identity::of(node, TenantId::new())).await;
    agent.bind(NEIGHBOUR).await;
    let TestAgent { incoming, control, .. } = agent;
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
    drop(upstream::serve(incoming, move |_, _, _| Reply::Bytes(ok.clone())));
    control
}

/// How long so many visits take, each. All are served.
async fn visits(node: &TestNode, count: usize) -> Vec<Duration> {
    let (mut times, mut kept) = (Vec::new(), Visitor::connect(node.http).await);
    for visit in 0..count {
        let begun = Instant::now();
        let answer = if visit % 2 == 0 {
            kept.get(NEIGHBOUR, "/").await
        } else {
            Visitor::connect(node.http).await.get(NEIGHBOUR, "/").await
        };
        assert_eq!((answer.status(), answer.body.as_str()), (200, "ok"));
        times.push(begun.elapsed());
    }
    times
}

async fn again_and_again(trap: Trap, node: Arc<TestNode>, identity: Arc<Identity>) {
    let name = format!("{trap:?}.localhost").to_ascii_lowercase();
    for _ in 0..rounds(trap) {
        let sprung = async {
            let instance = InstanceId::new();
            let (answer, io) = preface(&node, &identity, instance).await;
            assert_eq!(answer.status, Status::Ok, "{trap:?}");
            let said = hello(&[Frame::Bind(bind(&name, instance))]).unwrap();
            trap.set(io, &said, BYTES).await
        };
        let ended = tokio::select! {
            ended = sprung => ended.unwrap(),
            () = visited(&node, &name), if Trap::VISITED.contains(&trap) => panic!("visitors go on"),
        };
        assert_eq!(ended, trap.ending(), "{trap:?}");
    }
}

/// What fills the buffers of two sockets takes seconds until it is given up.
fn rounds(trap: Trap) -> usize {
    if trap == Trap::NeverReadPongs { 1 } else { ROUNDS }
}

/// Visitors of a hostile agent get some answer each, until nobody listens for them any more.
async fn visited(node: &TestNode, name: &str) {
    loop {
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send(&format!("POST / HTTP/1.1\r\nhost: {name}\r\ncontent-length: 0\r\n\r\n")).await;
        visitor.response_or_end().await;
    }
}

/// The node has forgotten every session of this tenant.
async fn has_all_places(node: &TestNode, identity: &Identity) {
    let mut held = Vec::new();
    let all = async {
        while held.len() < usize::from(LIMITS.sessions_max) {
            let (answer, io) = preface(node, identity, InstanceId::new()).await;
            held.extend((answer.status == Status::Ok).then_some(io));
        }
    };
    tokio::time::timeout(WITHIN, all).await.expect("all places in time");
}
