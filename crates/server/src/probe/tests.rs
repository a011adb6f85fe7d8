#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, InstanceId, SessionId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, Plan, Pooling};
use adit_mux::Answer;
use adit_process::shutdown::Trigger;
use adit_process::tasks::Tasks;
use tokio::time::{Instant, sleep, sleep_until};

use super::{failed, watch};
use crate::builder::Builder;
use crate::hold::Holds;
use crate::limits::{
    MEMBERS_MAX, PROBE_DEADLINE, PROBE_EVERY_MAX, PROBE_EVERY_MIN, PROBE_HEALTHY_EVERY, PROBES_AT_ONCE,
    PROBES_FAILED_MAX, UPSTREAM_CONNECT_DEADLINE,
};
use crate::manner::Manner;
use crate::node::Node;
use crate::pool::Pool;
use crate::registry::Commands;
use crate::share::EndpointShare;
use crate::stub::{Stub, capability};
use crate::tunnel::Tunnel;

/// What an upstream does with each connection.
const TAKES: usize = 0;
const REFUSES: usize = 1;
const SAYS_NOTHING: usize = 2;

/// A member of a pool, and what its upstream does.
struct Upstream {
    instance: InstanceId,
    tunnel: Arc<Tunnel>,
    does: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    _kept: Box<dyn Send>,
}

fn claimed() -> Claimed {
    claimed_as(1)
}

/// One of several endpoints.
fn claimed_as(number: u8) -> Claimed {
    let hostname = Hostname::parse(&format!("n{number}.example")).unwrap();
    let endpoint = EndpointId::from_bytes([number; 16]);
    Claimed { endpoint, hostname, kind: EndpointKind::Http, epoch: Epoch(1), port: None }
}

/// A node whose pools are watched.
fn node() -> (Arc<Node>, Trigger) {
    let (node, trigger) =
        Builder::new(Arc::new(Stub::default()), Arc::new(Stub::default())).build().into_node();
    drop(node.agent_tasks.spawn("watch", watch(Arc::clone(&node))));
    (node, trigger)
}

fn join(node: &Arc<Node>) -> Upstream {
    join_at(node, &claimed())
}

fn join_at(node: &Arc<Node>, claimed: &Claimed) -> Upstream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (session, control, driver) = adit_mux::serve(ours, &node.mux);
    let (mut incoming, of_agent, agents_driver) = adit_mux::connect(theirs, &node.mux);
    let tasks = Tasks::new("member");
    drop((tasks.spawn("node", driver.run()), tasks.spawn("agent", agents_driver.run())));
    let (commands, orders) = Commands::channel(session.clone());
    let instance = InstanceId::new();
    let tenant = node.shares.of(&capability(TenantId::new(), Plan::default().limits()));
    let tunnel = Arc::new(Tunnel {
        session_id: SessionId::new(),
        instance,
        pooling: Some(Pooling::default()),
        session,
        mix: Arc::default(),
        commands,
        pool: Pool::new(Arc::default()),
        meter: Arc::default(),
        hold: Holds::new(Instant::now()).enter(&claimed.hostname, &tenant),
        share: EndpointShare::new(tenant),
        manner: Manner::default(),
    });
    node.routes.bind(claimed, Arc::clone(&tunnel)).unwrap();
    let (does, asked) = (Arc::new(AtomicUsize::new(TAKES)), Arc::new(AtomicUsize::new(0)));
    let (doing, asking) = (Arc::clone(&does), Arc::clone(&asked));
    drop(tasks.spawn("upstream", async move {
        let mut silent = Vec::new();
        while let Some(mut arrival) = incoming.next().await {
            asking.fetch_add(1, Ordering::SeqCst);
            match doing.load(Ordering::SeqCst) {
                TAKES => drop(arrival.stream.send_answer(Answer::Dialled).await),
                REFUSES => drop(arrival.stream.send_answer(Answer::Refused).await),
                _ => silent.push(arrival),
            }
        }
    }));
    Upstream { instance, tunnel, does, asked, _kept: Box::new((control, of_agent, orders, tasks)) }
}

fn is_up(node: &Node, upstream: &Upstream) -> bool {
    let route = node.routes.get(&claimed().hostname).unwrap();
    route.member(upstream.instance).unwrap().health.is_up()
}

/// How long it takes until the member is in, or out.
async fn until(node: &Node, upstream: &Upstream, up: bool) -> Duration {
    let begun = Instant::now();
    while is_up(node, upstream) != up {
        assert!(begun.elapsed() < Duration::from_mins(5), "it did not happen");
        sleep(Duration::from_millis(50)).await;
    }
    begun.elapsed()
}

const SLACK: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_member_whose_upstream_is_gone_leaves_without_a_visitor_and_comes_back() {
    for (does, late) in [(REFUSES, Duration::ZERO), (SAYS_NOTHING, PROBE_DEADLINE)] {
        let (node, _trigger) = node();
        let (a, b) = (join(&node), join(&node));
        sleep(3 * PROBE_HEALTHY_EVERY).await;
        assert!(is_up(&node, &a) && is_up(&node, &b));
        a.does.store(does, Ordering::SeqCst);
        let gone_after = until(&node, &a, false).await;
        // In between lie as many rounds as must fail, each of which takes as long as its slowest probe.
        let longest = (PROBE_HEALTHY_EVERY + late) * PROBES_FAILED_MAX + SLACK;
        assert!(gone_after <= longest, "{gone_after:?}");
        assert!(is_up(&node, &b));
        a.does.store(TAKES, Ordering::SeqCst);
        let back_after = until(&node, &a, true).await;
        assert!(back_after <= PROBE_EVERY_MAX + 3 * PROBE_DEADLINE + SLACK, "{back_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_failed_probe_between_others_is_forgiven() {
    let (node, _trigger) = node();
    let (a, _b) = (join(&node), join(&node));
    for _ in 0..3 {
        a.does.store(REFUSES, Ordering::SeqCst);
        let asked = a.asked.load(Ordering::SeqCst);
        while a.asked.load(Ordering::SeqCst) == asked {
            sleep(Duration::from_millis(50)).await;
        }
        a.does.store(TAKES, Ordering::SeqCst);
        sleep(2 * PROBE_HEALTHY_EVERY).await;
        assert!(is_up(&node, &a));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_is_not_probed() {
    let (node, _trigger) = node();
    let a = join(&node);
    sleep(10 * PROBE_HEALTHY_EVERY).await;
    assert_eq!(a.asked.load(Ordering::SeqCst), 0);
}

/// A node of which nothing runs but what a test starts, and two members of a pool; the upstream of the first refuses.
fn two_of_which_one_refuses() -> (Arc<Node>, Trigger, [Upstream; 2]) {
    let (node, trigger) =
        Builder::new(Arc::new(Stub::default()), Arc::new(Stub::default())).build().into_node();
    let members = [join(&node), join(&node)];
    members[0].does.store(REFUSES, Ordering::SeqCst);
    (node, trigger, members)
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_and_goes_has_one_probe() {
    let (node, _trigger, [a, _b]) = two_of_which_one_refuses();
    for _ in 0..20 {
        failed(&node, &claimed().hostname, &a.tunnel);
        assert!(!is_up(&node, &a));
        assert!(!node.routes.unbind(&claimed(), a.tunnel.session_id, || {}));
        node.routes.bind(&claimed(), Arc::clone(&a.tunnel)).unwrap();
        assert!(is_up(&node, &a));
    }
    failed(&node, &claimed().hostname, &a.tunnel);
    sleep(2 * PROBE_EVERY_MAX).await;
    assert_eq!(node.agent_tasks.running(), 1);
    assert!(!is_up(&node, &a), "the probes of those who left say nothing about who came");
    a.does.store(TAKES, Ordering::SeqCst);
    until(&node, &a, true).await;
    sleep(SLACK).await;
    assert_eq!(node.agent_tasks.running(), 0);
}

/// Each probe doubles the wait for the next, up to a bound; one without an answer has a deadline.
#[tokio::test(start_paused = true)]
async fn who_is_out_is_probed_ever_more_rarely() {
    const A_MOMENT: Duration = Duration::from_millis(10);
    let (node, _trigger, [a, _b]) = two_of_which_one_refuses();
    failed(&node, &claimed().hostname, &a.tunnel);
    let (mut every, mut at) = (PROBE_EVERY_MIN, Instant::now());
    for probes in 0..8 {
        at += every;
        sleep_until(at - A_MOMENT).await;
        assert_eq!(a.asked.load(Ordering::SeqCst), probes, "{every:?}");
        sleep_until(at + A_MOMENT).await;
        assert_eq!(a.asked.load(Ordering::SeqCst), probes + 1, "{every:?}");
        every = PROBE_EVERY_MAX.min(2 * every);
    }
    a.does.store(SAYS_NOTHING, Ordering::SeqCst);
    sleep(every).await;
    a.does.store(TAKES, Ordering::SeqCst);
    let back_after = until(&node, &a, true).await;
    let expected = UPSTREAM_CONNECT_DEADLINE + PROBE_EVERY_MAX;
    assert!(back_after >= expected && back_after <= expected + SLACK, "{back_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_cut_leaves_nobody_out() {
    let (node, _trigger, [a, _b]) = two_of_which_one_refuses();
    failed(&node, &claimed().hostname, &a.tunnel);
    sleep(2 * PROBE_EVERY_MAX).await;
    assert!(!is_up(&node, &a));
    node.agent_tasks.join_all(Duration::ZERO).await;
    assert!(is_up(&node, &a));
}

#[tokio::test(start_paused = true)]
async fn so_many_are_probed_at_once_and_the_others_after_them() {
    const MAX: usize = PROBES_AT_ONCE;
    for members in [MAX - 1, MAX, MAX + 1] {
        let (node, _trigger) = node();
        // Pools of a size that may be.
        let pools = u8::try_from(members.div_ceil(MEMBERS_MAX) + 1).unwrap();
        let upstreams: Vec<_> =
            (1..=pools).cycle().take(members).map(|pool| join_at(&node, &claimed_as(pool))).collect();
        let does = |what| upstreams.iter().for_each(|upstream| upstream.does.store(what, Ordering::SeqCst));
        let asked = || upstreams.iter().map(|upstream| upstream.asked.load(Ordering::SeqCst)).sum::<usize>();
        does(SAYS_NOTHING);
        sleep(SLACK).await;
        assert_eq!(asked(), members.min(MAX));
        does(TAKES);
        sleep(PROBE_DEADLINE).await;
        assert!(asked() >= members, "{}", asked());
    }
}
