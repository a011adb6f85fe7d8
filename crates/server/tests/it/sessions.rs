//! Several sessions of one agent: which of them a request takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_domain::id::{InstanceId, TenantId};
use adit_domain::{PlanLimits, Pooling, UpstreamProtocol};
use adit_mux::limits::STREAMS_MAX;
use adit_mux::{Answer, Arrival, Stream};
use adit_process::tasks::Tasks;
use adit_server::limits::{RESENDS_MAX, TUNNELS_PER_MEMBER_MAX};
use adit_wire::control::{Bound, Frame};
use adit_wire::preface::Status;
use adit_wire::record::AbortCode;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::agent::{Identity, TestAgent, preface};
use crate::support::authority::LIMITS;
use crate::support::node::TestNode;
use crate::support::visitor::Visitor;

const HOST: &str = "one.localhost";

async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_mins(1), future).await.expect("nothing happened")
}

/// An agent with two sessions that serve [`HOST`].
async fn two_sessions(node: &TestNode) -> (TestAgent, TestAgent, Bound) {
    let identity = Identity::of(node, TenantId::new());
    let mut first = TestAgent::connect(node, &identity).await;
    let bound = first.bind(HOST).await;
    let mut second = TestAgent::connect_as(node, &identity, first.instance).await;
    let Frame::Bound(again) = second.ask(HOST, bound.epoch).await else { panic!("not added") };
    assert_eq!(again.epoch, bound.epoch);
    (first, second, bound)
}

async fn asks(node: &TestNode, method: &str) -> Visitor {
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send(&format!("{method} / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await;
    visitor
}

async fn dialled(arrival: Option<Arrival>) -> Stream {
    let mut stream = arrival.unwrap().stream;
    stream.send_answer(Answer::Dialled).await.unwrap();
    stream
}

async fn head(stream: &mut Stream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

async fn answer(stream: &mut Stream) {
    head(stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_to_the_least_loaded_session() {
    let node = TestNode::start();
    let (mut first, mut second, _) = two_sessions(&node).await;
    let (mut visitors, mut streams) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..10 {
        visitors.push(asks(&node, "POST").await);
        tokio::select! {
            arrival = first.incoming.next() => streams[0].push(dialled(arrival).await),
            arrival = second.incoming.next() => streams[1].push(dialled(arrival).await),
        }
    }
    assert_eq!(streams.each_ref().map(Vec::len), [5, 5]);
}

/// What the agent does with a stream, and whether the request then goes over its other session.
async fn goes_on(method: &str, give_up: impl AsyncFn(TestAgent, Stream)) -> Option<u16> {
    let node = TestNode::start();
    let (mut first, mut second, _) = two_sessions(&node).await;
    let mut visitor = asks(&node, method).await;
    let (asked, mut other, arrival) = tokio::select! {
        arrival = first.incoming.next() => (first, second, arrival),
        arrival = second.incoming.next() => (second, first, arrival),
    };
    let mut stream = arrival.unwrap().stream;
    // It has been sent, whatever is said about it now.
    head(&mut stream).await;
    give_up(asked, stream).await;
    tokio::select! {
        response = visitor.response() => return Some(response.status()),
        arrival = other.incoming.next() => answer(&mut dialled(arrival).await).await,
    }
    assert_eq!(visitor.response().await.status(), 200);
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_over_another_session_if_it_was_not_delivered_or_may_be_twice() {
    // The agent says that its upstream saw nothing of it.
    let gives_back = async |agent: TestAgent, stream: Stream| {
        stream.abort(AbortCode::NotBound);
        std::mem::forget(agent);
    };
    let has_no_room = async |agent: TestAgent, stream: Stream| {
        stream.abort(AbortCode::Limit);
        std::mem::forget(agent);
    };
    // Nobody knows how far it came.
    let is_lost = async |agent: TestAgent, stream: Stream| {
        agent.incoming.close("lost");
        drop(stream);
    };
    for method in ["POST", "GET"] {
        assert_eq!(goes_on(method, gives_back).await, None);
        assert_eq!(goes_on(method, has_no_room).await, None);
    }
    assert_eq!(goes_on("GET", is_lost).await, None);
    assert_eq!(goes_on("POST", is_lost).await, Some(502));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upstream_may_have_seen_is_not_sent_again_whatever_the_agent_says_later() {
    for code in [AbortCode::NotBound, AbortCode::Limit] {
        let gives_up_late = async |agent: TestAgent, mut stream: Stream| {
            stream.send_answer(Answer::Dialled).await.unwrap();
            stream.abort(code);
            std::mem::forget(agent);
        };
        assert_eq!(goes_on("POST", gives_up_late).await, Some(502), "{code:?}");
    }
}

/// An HTTP/2 upstream that says what every one says at first, and is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_no_answer() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut first = TestAgent::connect(&node, &identity).await;
    first.protocol = UpstreamProtocol::H2c;
    let bound = first.bind(HOST).await;
    let mut second = TestAgent::connect_as(&node, &identity, first.instance).await;
    second.protocol = UpstreamProtocol::H2c;
    assert!(matches!(second.ask(HOST, bound.epoch).await, Frame::Bound(_)));
    let _visitor = asks(&node, "GET").await;
    let mut stream = dialled(next_of(&mut first, &mut second).await).await;
    // An empty SETTINGS frame (RFC 9113, section 6.5), and the acknowledgement which shows that it was heard.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    stream.flush().await.unwrap();
    let (acknowledgement, mut heard) = ([0, 0, 0, 4, 1, 0, 0, 0, 0], Vec::new());
    while !heard.ends_with(&acknowledgement) {
        heard.push(within(stream.read_u8()).await.unwrap());
    }
    stream.abort(AbortCode::UpstreamBroken);
    // Over the other session, or over the same one where it had not left the node.
    assert!(next_of(&mut first, &mut second).await.is_some(), "it is not sent again");
}

/// The next stream of either session.
async fn next_of(first: &mut TestAgent, second: &mut TestAgent) -> Option<Arrival> {
    within(async {
        tokio::select! {
            arrival = first.incoming.next() => arrival,
            arrival = second.incoming.next() => arrival,
        }
    })
    .await
}

/// Takes every stream of a session, and holds it. Says so for each.
fn hold(agent: TestAgent) -> mpsc::Receiver<()> {
    let (taken, takings) = mpsc::channel(1);
    let TestAgent { mut incoming, control, .. } = agent;
    drop(Tasks::new("test agent").spawn("hold", async move {
        let mut held = Vec::new();
        while let Some(arrival) = incoming.next().await {
            held.push(dialled(Some(arrival)).await);
            taken.send(()).await.unwrap();
        }
        drop(control);
    }));
    takings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_busy_when_every_session_is_full() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut first = TestAgent::connect(&node, &identity).await;
    let (bound, instance) = (first.bind(HOST).await, first.instance);
    let mut taken = hold(first);
    let mut visitors = Vec::new();
    for _ in 1..=STREAMS_MAX {
        visitors.push(asks(&node, "POST").await);
        within(taken.recv()).await.unwrap();
    }
    let refused = asks(&node, "POST").await.response().await;
    assert_eq!((refused.status(), refused.header("adit-error")), (503, Some("ADIT-2007")));

    let mut second = TestAgent::connect_as(&node, &identity, instance).await;
    assert!(matches!(second.ask(HOST, bound.epoch).await, Frame::Bound(_)));
    let mut more = hold(second);
    visitors.push(asks(&node, "POST").await);
    within(more.recv()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_at_once_do_not_pass_the_limit_together() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let sessions_max = usize::from(identity.capability.limits.sessions_max);
    let knocks = (0..3 * sessions_max).map(|_| preface(&node, &identity, InstanceId::new()));
    let (answers, _open): (Vec<_>, Vec<_>) = join_all(knocks).await.into_iter().unzip();
    let admitted = answers.iter().filter(|answer| answer.status == Status::Ok).count();
    assert_eq!(admitted, sessions_max);
    assert!(answers.iter().all(|answer| matches!(answer.status, Status::Ok | Status::Overloaded)));
}

/// An endpoint with so many sessions, each of which gives a request back until so many were given back.
async fn give_back(node: &TestNode, sessions: usize, given_back: usize) -> Arc<AtomicUsize> {
    let (asked, tenant, tasks) = (Arc::new(AtomicUsize::new(0)), TenantId::new(), Tasks::new("test agent"));
    let mut member = (Identity::of(node, tenant), InstanceId::new());
    for n in 1..=sessions {
        let mut agent = TestAgent::connect_as(node, &member.0, member.1).await;
        agent.pooling = Some(Pooling::default());
        agent.bind(HOST).await;
        if n % TUNNELS_PER_MEMBER_MAX == 0 {
            member = (Identity::of(node, tenant), InstanceId::new());
        }
        let asked = Arc::clone(&asked);
        drop(tasks.spawn("session", async move {
            let TestAgent { mut incoming, control, .. } = agent;
            while let Some(arrival) = incoming.next().await {
                if asked.fetch_add(1, Ordering::SeqCst) < given_back {
                    arrival.stream.abort(AbortCode::NotBound);
                } else {
                    answer(&mut dialled(Some(arrival)).await).await;
                }
            }
            drop(control);
        }));
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_given_back_goes_out_again_so_often() {
    let resends_max = usize::try_from(RESENDS_MAX).unwrap();
    for (given_back, status) in [(resends_max - 1, 200), (resends_max, 200), (resends_max + 1, 502)] {
        let node = TestNode::start();
        node.authority.sell(PlanLimits { sessions_max: 100, ..LIMITS });
        let asked = give_back(&node, resends_max + 2, given_back).await;
        let response = within(async { asks(&node, "POST").await.response().await }).await;
        assert_eq!(
            (response.status(), asked.load(Ordering::SeqCst)),
            (status, (given_back + 1).min(resends_max + 1))
        );
    }
}
