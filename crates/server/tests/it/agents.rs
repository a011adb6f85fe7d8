//! Who is admitted, and who serves an endpoint.

use std::sync::atomic::Ordering;
use std::time::Duration;

use adit_authority::Change;
use adit_domain::Epoch;
use adit_domain::id::{CapabilityId, InstanceId, TenantId};
use adit_mux::Config;
use adit_server::limits::{BAD_SIGNATURES_BURST, REFRESHES_BURST, REFRESHES_INTERVAL};
use adit_wire::capability::{AgentKey, MintKey};
use adit_wire::control::{BindRefusal, DrainReason, Frame, GoodbyeReason, UnbindReason};
use adit_wire::preface::Status;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::agent::{Identity, TestAgent, now, preface};
use crate::support::authority::Authority;
use crate::support::node::TestNode;
use crate::support::upstream::{self, Reply};
use crate::support::visitor::Visitor;

async fn status(node: &TestNode, identity: &Identity) -> Status {
    preface(node, identity, InstanceId::new()).await.0.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_holder_of_a_valid_capability_is_admitted() {
    let node = TestNode::start();
    let good = Identity::of(&node, TenantId::new());
    assert_eq!(status(&node, &good).await, Status::Ok);

    let stolen = Identity { key: AgentKey::generate().unwrap(), ..Identity::of(&node, good.tenant) };
    assert_eq!(status(&node, &stolen).await, Status::PossessionInvalid);

    let forged = MintKey::generate(1).unwrap().sign(&good.capability);
    let forged = Identity { signed: forged, ..Identity::of(&node, good.tenant) };
    assert_eq!(status(&node, &forged).await, Status::CapabilityInvalid);

    let key = AgentKey::generate().unwrap();
    let (hour, minutes) = (Duration::from_hours(1), Duration::from_mins(10));
    let (capability, signed) = node.authority.capability(&key, good.tenant, now().minus(hour), minutes);
    let expired = Identity { key, tenant: good.tenant, capability, signed };
    assert_eq!(status(&node, &expired).await, Status::CapabilityExpired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_bad_signatures_count_against_an_address() {
    let node = TestNode::start();
    let good = Identity::of(&node, TenantId::new());
    let stolen = Identity { key: AgentKey::generate().unwrap(), ..Identity::of(&node, good.tenant) };
    let revoked = Identity::of(&node, good.tenant);
    node.authority.tell(Change::ApiKeyRevoked(revoked.capability.api_key));
    // Refused as often as one likes, without anybody else behind the address noticing.
    for n in 0..2 * BAD_SIGNATURES_BURST {
        assert!(matches!(status(&node, &revoked).await, Status::CapabilityRevoked | Status::Ok), "{n}");
    }
    assert_eq!(status(&node, &good).await, Status::Ok);

    let mut refused = 0;
    let limited = loop {
        let answer = preface(&node, &stolen, InstanceId::new()).await.0;
        match answer.status {
            Status::PossessionInvalid => refused += 1,
            _ => break answer,
        }
        assert!(refused < 50 * BAD_SIGNATURES_BURST);
    };
    assert!(refused >= BAD_SIGNATURES_BURST, "{refused}");
    assert_eq!(limited.status, Status::RateLimited);
    assert!(limited.retry_after_ms > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_asks_for_so_many_refreshes() {
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let begun = Instant::now();
    for request in 1..=REFRESHES_BURST + 1 {
        agent.control.send(&Frame::Refresh { request }).await.unwrap();
        match agent.hear().await {
            Frame::Refreshed { .. } => assert!(request <= REFRESHES_BURST, "{request}"),
            Frame::RefreshRefused { status, retry_after_ms, .. } => {
                assert_eq!((status, request), (Status::RateLimited, REFRESHES_BURST + 1));
                let (wait, rounded) =
                    (Duration::from_millis(retry_after_ms.into()), Duration::from_millis(1));
                assert!(
                    wait <= REFRESHES_INTERVAL && wait + rounded + begun.elapsed() >= REFRESHES_INTERVAL,
                    "{wait:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capability_opens_as_many_sessions_as_it_says() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agents = Vec::new();
    for _ in 0..identity.capability.limits.sessions_max {
        agents.push(TestAgent::connect(&node, &identity).await);
        // The node has entered the session once it answers on its control stream.
        agents.last_mut().unwrap().bind("n.localhost").await;
    }
    assert_eq!(status(&node, &identity).await, Status::Overloaded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_ends_its_sessions_and_opens_no_more() {
    let node = TestNode::start();
    let tenant = TenantId::new();
    let (revoked, other) = (Identity::of(&node, tenant), Identity::of(&node, tenant));
    let mut cut = TestAgent::connect(&node, &revoked).await;
    cut.bind("cut.localhost").await;
    let mut stays = TestAgent::connect(&node, &other).await;
    stays.bind("stays.localhost").await;

    node.authority.tell(Change::ApiKeyRevoked(revoked.capability.api_key));
    let Frame::Goodbye { reason, .. } = cut.hear().await else { panic!("no goodbye") };
    assert_eq!(reason, GoodbyeReason::Revoked);
    assert_eq!(status(&node, &revoked).await, Status::CapabilityRevoked);
    stays.bind("still.localhost").await;

    node.authority.tell(Change::CapabilityRevoked(other.capability.id));
    assert!(matches!(stays.hear().await, Frame::Goodbye { reason: GoodbyeReason::Revoked, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_waits_for_nothing_else_that_the_session_does() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    agent.bind("one.localhost").await;
    node.authority.refreshes_hang.store(true, Ordering::SeqCst);
    agent.control.send(&Frame::Refresh { request: 1 }).await.unwrap();
    node.authority.refreshing.notified().await;

    node.authority.tell(Change::TenantSuspended(identity.tenant));
    let heard = tokio::time::timeout(Duration::from_secs(5), agent.control.recv()).await;
    assert!(matches!(heard, Ok(Ok(Frame::Goodbye { reason: GoodbyeReason::Revoked, .. }))));
    let response = Visitor::connect(node.http).await.get("one.localhost", "/").await;
    assert_eq!(response.header("adit-error"), Some("ADIT-2001"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_the_capability_that_keeps_it_open() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    agent.control.send(&Frame::Refresh { request: 1 }).await.unwrap();
    let Frame::Refreshed { capability, .. } = agent.hear().await else { panic!("not refreshed") };
    // The capability's id stands at offset 8 (docs/protocol.md, section 10).
    let id = CapabilityId::from_bytes(capability.as_bytes()[8..24].try_into().unwrap());
    assert_ne!(id, identity.capability.id);

    node.authority.tell(Change::CapabilityRevoked(id));
    assert!(matches!(agent.hear().await, Frame::Goodbye { reason: GoodbyeReason::Revoked, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_capability() {
    let node = TestNode::start();
    let key = AgentKey::generate().unwrap();
    let tenant = TenantId::new();
    let (capability, signed) = node.authority.capability(&key, tenant, now(), Duration::from_secs(2));
    let mut agent = TestAgent::connect(&node, &Identity { key, tenant, capability, signed }).await;
    let Frame::Goodbye { reason, .. } = agent.hear().await else { panic!("no goodbye") };
    assert_eq!(reason, GoodbyeReason::CapabilityExpired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_agent_serves_and_the_older_does_not_come_back() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut older = TestAgent::connect(&node, &identity).await;
    let first = older.bind("one.localhost").await;
    let mut newer = TestAgent::connect(&node, &identity).await;
    let second = newer.bind("one.localhost").await;
    assert!(second.epoch > first.epoch);

    let Frame::Unbind(unbind) = older.hear().await else { panic!("not told") };
    assert_eq!((unbind.endpoint, unbind.reason), (first.endpoint, UnbindReason::Replaced));
    let Frame::BindRefused(refused) = older.ask("one.localhost", first.epoch).await else {
        panic!("came back")
    };
    assert_eq!(refused.reason, BindRefusal::Replaced);
    assert!(refused.reason.is_permanent());

    // The end of the older session takes nothing from the newer one.
    older.control.send(&Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 }).await.unwrap();
    assert!(older.control.recv().await.is_err());
    upstream::serve(newer.incoming, |_, _, _| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nnewer".to_vec())
    });
    let response = Visitor::connect(node.http).await.get("one.localhost", "/").await;
    assert_eq!((response.status(), response.body.as_str()), (200, "newer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_resumes_keeps_its_epoch() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    let first = agent.bind("one.localhost").await;
    let Frame::Bound(again) = agent.ask("one.localhost", first.epoch).await else { panic!("refused") };
    assert_eq!((again.epoch, again.endpoint), (first.epoch, first.endpoint));
    assert!(matches!(agent.ask("one.localhost", Epoch(99)).await, Frame::BindRefused(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_came_back_is_served_by_its_new_session() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    // Its network is gone: the session is open, and nobody takes its streams.
    let mut lost = TestAgent::connect(&node, &identity).await;
    let bound = lost.bind("one.localhost").await;
    let mut back = TestAgent::connect_as(&node, &identity, lost.instance).await;
    let Frame::Bound(again) = back.ask("one.localhost", bound.epoch).await else { panic!("refused") };
    assert_eq!(again.epoch, bound.epoch);
    upstream::serve(back.incoming, |_, _, _| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback".to_vec())
    });
    for _ in 0..3 {
        let mut visitor = Visitor::connect(node.http).await;
        visitor.send("POST / HTTP/1.1\r\nhost: one.localhost\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(visitor.response().await.body, "back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_another_tenant_is_refused() {
    let node = TestNode::start();
    let mut owner = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    owner.bind("mine.localhost").await;
    let mut thief = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    let Frame::BindRefused(refused) = thief.ask("mine.localhost", Epoch::NONE).await else {
        panic!("taken over")
    };
    assert_eq!(refused.reason, BindRefusal::NotYours);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binds_at_once_do_not_pass_the_limit_together() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    let endpoints_max = identity.capability.limits.endpoints_max;
    node.authority.claims.forget_permits(Semaphore::MAX_PERMITS);
    for n in 0..3 * endpoints_max {
        agent.send_bind(&format!("n{n}.localhost"), Epoch::NONE).await;
    }
    for _ in endpoints_max..3 * endpoints_max {
        let Frame::BindRefused(refused) = agent.hear().await else { panic!("bound") };
        assert_eq!(refused.reason, BindRefusal::TryLater);
    }
    node.authority.claims.add_permits(1);
    for _ in 0..endpoints_max {
        assert!(matches!(agent.hear().await, Frame::Bound(_)));
    }
    let Frame::BindRefused(refused) = agent.ask("more.localhost", Epoch::NONE).await else { panic!("bound") };
    assert_eq!(refused.reason, BindRefusal::LimitReached);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_given_back_with_its_last_session() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut first = TestAgent::connect(&node, &identity).await;
    let bound = first.bind("one.localhost").await;
    let mut second = TestAgent::connect_as(&node, &identity, first.instance).await;
    assert!(matches!(second.ask("one.localhost", bound.epoch).await, Frame::Bound(_)));

    let goodbye = Frame::Goodbye { reason: GoodbyeReason::Finished, retry_after_ms: 0 };
    first.control.send(&goodbye).await.unwrap();
    assert!(first.control.recv().await.is_err());
    assert_eq!(node.authority.released(), []);
    second.control.send(&goodbye).await.unwrap();
    assert!(second.control.recv().await.is_err());
    while node.authority.released().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.authority.released(), [bound.endpoint]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_ids_come_to_an_end_is_replaced_and_loses_no_request() {
    let sessions = adit_mux::Config { streams_opened_in_all: 2, ..adit_mux::Config::default() };
    let node = TestNode::start_with(sessions);
    let identity = Identity::of(&node, TenantId::new());
    let mut first = TestAgent::connect(&node, &identity).await;
    let bound = first.bind("one.localhost").await;
    let (instance, mut control) = (first.instance, first.control);
    let hello = || Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec());
    let by_first = upstream::serve(first.incoming, move |_, _, _| hello());
    let mut visitor = Visitor::connect(node.http).await;
    // Each takes a stream of its own.
    let post = "POST / HTTP/1.1\r\nhost: one.localhost\r\ncontent-length: 0\r\n\r\n";
    for _ in 0..2 {
        visitor.send(post).await;
        assert_eq!(visitor.response().await.status(), 200);
    }
    assert!(matches!(control.recv().await, Ok(Frame::Drain { reason: DrainReason::WornOut, .. })));
    visitor.send(post).await;
    assert_eq!(visitor.response().await.status(), 200, "there is no other yet");

    let mut second = TestAgent::connect_as(&node, &identity, instance).await;
    assert!(matches!(second.ask("one.localhost", bound.epoch).await, Frame::Bound(_)));
    let _control = second.control;
    let by_second = upstream::serve(second.incoming, move |_, _, _| hello());
    visitor.send(post).await;
    assert_eq!(visitor.response().await.status(), 200);
    assert_eq!((by_first.requests(), by_second.requests()), (3, 1));
}

/// yamux's ids come to an end, so the agent cannot have it all its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_worn_out_is_closed_in_the_end() {
    let node = TestNode::built(Authority::new(), |builder| {
        let sessions = Config { streams_opened_in_all: 1, ..Config::default() };
        builder.sessions(sessions).rotation_deadline(Duration::from_millis(300))
    });
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    agent.bind("one.localhost").await;
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send("POST / HTTP/1.1\r\nhost: one.localhost\r\ncontent-length: 0\r\n\r\n").await;
    let _in_flight = agent.incoming.next().await.unwrap().stream;
    let Frame::Drain { reason: DrainReason::WornOut, deadline_ms: 300 } = agent.hear().await else {
        panic!("not told")
    };
    assert!(matches!(agent.hear().await, Frame::Goodbye { reason: GoodbyeReason::WornOut, .. }));
    assert!(agent.control.recv().await.is_err());
    assert_eq!(visitor.response().await.status(), 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_tells_the_agents_and_ends_in_peace() {
    let node = TestNode::start();
    let mut agent = TestAgent::connect(&node, &Identity::of(&node, TenantId::new())).await;
    agent.bind("one.localhost").await;
    let mut visitor = Visitor::connect(node.http).await;
    visitor.send("POST / HTTP/1.1\r\nhost: one.localhost\r\ncontent-length: 0\r\n\r\n").await;
    let mut in_flight = agent.incoming.next().await.unwrap().stream;
    // It has been sent: nobody knows whether it was acted on.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_flight.read_u8().await.unwrap());
    }
    node.trigger.drain();
    assert!(matches!(agent.hear().await, Frame::Drain { reason: DrainReason::NodeLeaves, .. }));
    let Frame::BindRefused(refused) = agent.ask("two.localhost", Epoch::NONE).await else { panic!("bound") };
    assert_eq!(refused.reason, BindRefusal::TryLater);
    drop(in_flight);
    assert_eq!(visitor.response().await.status(), 502);
    assert!(matches!(agent.hear().await, Frame::Goodbye { reason: GoodbyeReason::Draining, .. }));
    assert!(node.running.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_held_an_endpoint_comes_back_while_the_directory_is_away() {
    let node = TestNode::start();
    let identity = Identity::of(&node, TenantId::new());
    let mut agent = TestAgent::connect(&node, &identity).await;
    let (first, instance) = (agent.bind("one.localhost").await, agent.instance);
    drop(agent);
    node.authority.is_away.store(true, Ordering::SeqCst);

    let mut other = TestAgent::connect(&node, &identity).await;
    let stranger = Identity::of(&node, TenantId::new());
    let mut stranger = TestAgent::connect_as(&node, &stranger, instance).await;
    for (agent, epoch) in [(&mut other, Epoch::NONE), (&mut stranger, first.epoch)] {
        let answer = agent.ask("one.localhost", epoch).await;
        assert!(
            matches!(&answer, Frame::BindRefused(refused) if refused.reason == BindRefusal::TryLater),
            "{answer:?}"
        );
    }

    let mut back = TestAgent::connect_as(&node, &identity, instance).await;
    let Frame::Bound(again) = back.ask("one.localhost", first.epoch).await else { panic!("refused") };
    assert_eq!((again.epoch, again.endpoint), (first.epoch, first.endpoint));
    upstream::serve(back.incoming, |_, _, _| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain".to_vec())
    });
    assert_eq!(Visitor::connect(node.http).await.get("one.localhost", "/").await.body, "again");
}
