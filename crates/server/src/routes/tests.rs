#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{Arc, Barrier};
use std::time::Duration;

use adit_authority::Claimed;
use adit_domain::id::{EndpointId, InstanceId, RequestId, SessionId, TenantId};
use adit_domain::{Balance, EndpointKind, Epoch, Hostname, Plan, Pooling, Sticky};
use adit_mux::Session;
use adit_process::tasks::Tasks;
use adit_web::client;
use adit_web::limits::ClientLimits;
use tokio::time::Instant;

use super::{BindError, NoTunnel, Routes};
use crate::choice::{Choice, Known};
use crate::hold::Holds;
use crate::limits::{MEMBERS_MAX, TUNNELS_PER_MEMBER_MAX};
use crate::manner::Manner;
use crate::mix::Mix;
use crate::pool::{Idle, Pool};
use crate::registry::{Commands, Orders};
use crate::share::{EndpointShare, Shares, TenantShare};
use crate::sticky::Mark;
use crate::stub::capability;
use crate::trace::Trace;
use crate::tunnel::Tunnel;

/// A tunnel whose session lives as long as the second value.
fn tunnel(instance: InstanceId) -> (Arc<Tunnel>, impl Sized) {
    pooled(instance, Pooling::default())
}

fn pooled(instance: InstanceId, pooling: Pooling) -> (Arc<Tunnel>, impl Sized) {
    tunnel_of(instance, Some(pooling))
}

fn tunnel_of(instance: InstanceId, pooling: Option<Pooling>) -> (Arc<Tunnel>, impl Sized) {
    let (ours, theirs) = tokio::io::duplex(64);
    let (session, control, driver) = adit_mux::serve(ours, &adit_mux::Config::default());
    let (tunnel, orders) = over(session, instance, pooling);
    (tunnel, (theirs, control, driver, orders))
}

/// The same with an agent, so that streams can be opened.
fn driven(instance: InstanceId) -> (Arc<Tunnel>, impl Sized) {
    let ((ours, theirs), config) = (tokio::io::duplex(64 * 1024), adit_mux::Config::default());
    let (session, control, driver) = adit_mux::serve(ours, &config);
    let (incoming, of_agent, agents_driver) = adit_mux::connect(theirs, &config);
    let tasks = Tasks::new("session");
    drop((tasks.spawn("node", driver.run()), tasks.spawn("agent", agents_driver.run())));
    let (tunnel, orders) = over(session, instance, None);
    (tunnel, (control, incoming, of_agent, orders, tasks))
}

fn over(session: Session, instance: InstanceId, pooling: Option<Pooling>) -> (Arc<Tunnel>, Orders) {
    let (commands, orders) = Commands::channel(session.clone());
    let (session_id, mix) = (SessionId::new(), Arc::<Mix>::default());
    let tenant = tenant();
    let hold = Holds::new(Instant::now()).enter(&Hostname::parse("one.example").unwrap(), &tenant);
    let share = EndpointShare::new(tenant);
    let tunnel = Tunnel {
        session_id,
        instance,
        pooling,
        session,
        mix: Arc::clone(&mix),
        commands,
        pool: Pool::new(mix),
        meter: Arc::default(),
        share,
        hold,
        manner: Manner::default(),
    };
    (Arc::new(tunnel), orders)
}

fn tenant() -> Arc<TenantShare> {
    let limits = Plan::default().limits();
    Shares::new(adit_mux::Budget::new(1 << 30)).of(&capability(TenantId::new(), limits))
}

fn claimed(endpoint: EndpointId, epoch: u64) -> Claimed {
    let hostname = Hostname::parse("one.example").unwrap();
    Claimed { endpoint, hostname, kind: EndpointKind::Http, epoch: Epoch(epoch), port: None }
}

#[tokio::test]
async fn an_agent_leaves_with_all_its_sessions_and_no_others() {
    let (routes, claimed) = (Routes::default(), claimed(EndpointId::new(), 1));
    let (leaving, staying) = (InstanceId::new(), InstanceId::new());
    let all: Vec<_> = [leaving, staying, leaving].map(tunnel).into_iter().collect();
    for (tunnel, _) in &all {
        routes.bind(&claimed, Arc::clone(tunnel)).unwrap();
    }
    let newer = Claimed { epoch: Epoch(2), ..claimed.clone() };
    assert!(!routes.unbind_agent(&newer, leaving, || panic!("told")));
    assert!(!routes.unbind_agent(&claimed, leaving, || panic!("told")), "another one serves it");
    let left = routes.get(&claimed.hostname).unwrap();
    assert!(left.tunnels().map(|tunnel| tunnel.instance).eq([staying]));
    assert!(!routes.unbind_agent(&claimed, leaving, || panic!("told")), "it has left before");
    let mut told = false;
    assert!(routes.unbind_agent(&claimed, staying, || told = true) && told);
    assert!(routes.get(&claimed.hostname).is_none());
}

#[tokio::test]
async fn what_was_claimed_before_a_removal_is_not_served() {
    let (routes, endpoint) = (Routes::default(), EndpointId::new());
    let (tunnel, _alive) = tunnel(InstanceId::new());
    routes.bind(&claimed(endpoint, 5), Arc::clone(&tunnel)).unwrap();
    assert!(routes.remove(endpoint, Epoch(6), |_| {}).is_some());
    // Granted before as well, and here only now.
    assert_eq!(routes.bind(&claimed(endpoint, 5), Arc::clone(&tunnel)).err(), Some(BindError::Stale));
    routes.bind(&claimed(endpoint, 6), Arc::clone(&tunnel)).unwrap();
    assert!(routes.remove(endpoint, Epoch(6), |_| {}).is_none(), "it was removed before that");
    routes.bind(&claimed(EndpointId::new(), 1), tunnel).unwrap();
}

#[tokio::test]
async fn epochs_of_one_endpoint_are_compared_and_another_endpoint_starts_anew() {
    let (routes, a, b) = (Routes::default(), EndpointId::new(), EndpointId::new());
    let (older, _older) = tunnel(InstanceId::new());
    let (newer, _newer) = tunnel(InstanceId::new());
    assert!(routes.bind(&claimed(a, 5), Arc::clone(&older)).unwrap().is_none());
    assert_eq!(routes.bind(&claimed(a, 4), Arc::clone(&newer)).err(), Some(BindError::Stale));
    let ended = routes.bind(&claimed(a, 6), Arc::clone(&newer)).unwrap().unwrap();
    assert!(ended.has(&older) && !ended.has(&newer));

    // The name belongs to another endpoint now, whose epochs have nothing to do with those before.
    let ended = routes.bind(&claimed(b, 1), Arc::clone(&older)).unwrap().unwrap();
    assert_eq!((ended.endpoint(), ended.claimed.epoch), (a, Epoch(6)));
    assert!(!routes.unbind(&claimed(a, 1), older.session_id, || {}), "that endpoint is not served here");
    assert!(!routes.unbind(&claimed(b, 1), newer.session_id, || {}), "that session does not serve it");
    assert!(routes.unbind(&claimed(b, 1), older.session_id, || {}));
    assert!(routes.get(&claimed(a, 1).hostname).is_none());
}

#[tokio::test]
async fn an_instance_has_so_many_sessions_at_an_endpoint() {
    let (routes, instance) = (Routes::default(), InstanceId::new());
    let claimed = claimed(EndpointId::new(), 1);
    let tunnels: Vec<_> = (0..=TUNNELS_PER_MEMBER_MAX).map(|_| tunnel(instance)).collect();
    for (n, (tunnel, _)) in tunnels.iter().enumerate() {
        let bound = routes.bind(&claimed, Arc::clone(tunnel));
        assert_eq!(bound.err(), (n == TUNNELS_PER_MEMBER_MAX).then_some(BindError::Full));
    }
    // One that is there already takes no further place.
    assert!(routes.bind(&claimed, Arc::clone(&tunnels[0].0)).is_ok());
    assert_eq!(routes.tunnels().len(), TUNNELS_PER_MEMBER_MAX);
}

/// An idle connection over this tunnel, open as long as the second value lives.
async fn idle(tunnel: &Tunnel) -> (Idle, impl Sized) {
    let (ours, theirs) = tokio::io::duplex(64);
    let sender = client::handshake(ours, ClientLimits::default()).await.unwrap();
    let trace = Trace::new(Arc::clone(&tunnel.hold), Arc::clone(&tunnel.mix), RequestId::new());
    (Idle { sender, trace: Arc::new(trace) }, theirs)
}

#[tokio::test]
async fn idle_connections_are_no_load_whose_ever_they_are() {
    let (routes, claimed) = (Routes::default(), claimed(EndpointId::new(), 1));
    let (one, _one) = driven(InstanceId::new());
    let (two, _two) = driven(one.instance);
    for tunnel in [&one, &two] {
        routes.bind(&claimed, Arc::clone(tunnel)).unwrap();
    }
    let route = routes.get(&claimed.hostname).unwrap();
    let header = route.header(RequestId::new(), ([0_u16; 8], 0).into());
    let mut streams = Vec::new();
    for session in [&one.session, &one.session, &two.session] {
        streams.push(session.open(&header).await.unwrap());
    }
    assert_eq!((one.busy(), two.busy()), (2, 1));
    let of_another_endpoint = Pool::new(Arc::clone(&one.mix));
    let ((first, _first), (second, _second)) = (idle(&one).await, idle(&one).await);
    of_another_endpoint.put(first);
    of_another_endpoint.put(second);
    assert_eq!((one.busy(), two.busy()), (0, 1));
    assert!(Arc::ptr_eq(&route.pick(&mut Choice::default()).unwrap(), &one));
    of_another_endpoint.give_up_one();
    assert_eq!(one.busy(), 1);
    drop(of_another_endpoint);
    assert_eq!(one.busy(), 2);
}

#[tokio::test]
async fn what_was_passed_over_is_not_picked_again() {
    let (routes, endpoint) = (Routes::default(), EndpointId::new());
    let claimed = claimed(endpoint, 1);
    let (instance, mut choice) = (InstanceId::new(), Choice::default());
    let (one, _one) = tunnel(instance);
    let (two, _two) = tunnel(instance);
    for tunnel in [&one, &two] {
        routes.bind(&claimed, Arc::clone(tunnel)).unwrap();
    }
    let route = routes.get(&claimed.hostname).unwrap();
    let first = route.pick(&mut choice).unwrap();
    assert!(Arc::ptr_eq(&first, &two), "of two equals the one that was bound last");
    choice.pass_session(&first);
    assert!(Arc::ptr_eq(&route.pick(&mut choice).unwrap(), &one));
    choice.pass_member(&one);
    assert_eq!(route.pick(&mut choice).err(), Some(NoTunnel::Gone));
    one.session.close("gone");
    assert!(Arc::ptr_eq(&route.pick(&mut Choice::default()).unwrap(), &two));
    two.session.close("gone");
    assert_eq!(route.pick(&mut Choice::default()).err(), Some(NoTunnel::Gone));
}

#[tokio::test]
async fn an_endpoint_has_so_many_members() {
    let routes = Routes::default();
    let claimed = claimed(EndpointId::new(), 1);
    let tunnels: Vec<_> = (0..=MEMBERS_MAX).map(|_| tunnel(InstanceId::new())).collect();
    for (n, (tunnel, _)) in tunnels.iter().enumerate() {
        let bound = routes.bind(&claimed, Arc::clone(tunnel));
        assert_eq!(bound.err(), (n == MEMBERS_MAX).then_some(BindError::Full));
    }
    assert_eq!(routes.tunnels().len(), MEMBERS_MAX);
}

#[tokio::test]
async fn a_member_that_is_out_is_used_only_if_all_are() {
    let routes = Routes::default();
    let claimed = claimed(EndpointId::new(), 1);
    let members: Vec<_> = (0..3).map(|_| tunnel(InstanceId::new())).collect();
    for (tunnel, _) in &members {
        routes.bind(&claimed, Arc::clone(tunnel)).unwrap();
    }
    let route = routes.get(&claimed.hostname).unwrap();
    let picks = || {
        let picked = (0..30).map(|_| route.pick(&mut Choice::default()).unwrap().instance);
        picked.collect::<std::collections::HashSet<_>>()
    };
    assert_eq!(picks().len(), 3);
    let down = |n: usize| route.member(members[n].0.instance).unwrap().health.fail();
    assert!(down(0) && !down(0), "only the first failure is news");
    assert_eq!(picks().len(), 2);
    assert!(!picks().contains(&members[0].0.instance));
    // The next snapshot of the route knows of it too.
    let (more, _more) = tunnel(members[1].0.instance);
    routes.bind(&claimed, more).unwrap();
    let again = routes.get(&claimed.hostname).unwrap();
    assert!(!again.member(members[0].0.instance).unwrap().health.is_up());
    assert!(down(1) && down(2));
    assert_eq!(picks().len(), 3);
    route.member(members[2].0.instance).unwrap().health.recover();
    assert_eq!(picks(), [members[2].0.instance].into());
}

#[tokio::test]
async fn a_visitor_comes_back_to_its_member_until_that_is_gone() {
    for sticky in [Sticky::Cookie, Sticky::Address] {
        let routes = Routes::default();
        let claimed = claimed(EndpointId::new(), 1);
        let pooling = Pooling { balance: Balance::RoundRobin, sticky };
        let members: Vec<_> = (0..3).map(|_| pooled(InstanceId::new(), pooling)).collect();
        for (tunnel, _) in &members {
            routes.bind(&claimed, Arc::clone(tunnel)).unwrap();
        }
        let route = routes.get(&claimed.hostname).unwrap();
        let address = Some("192.0.2.7".parse().unwrap());
        let first = route.pick(&mut Choice::of(Known { address, mark: None })).unwrap();
        let known = Known { address, mark: Some(route.mark(first.instance)) };
        for _ in 0..10 {
            assert_eq!(route.pick(&mut Choice::of(known)).unwrap().instance, first.instance, "{sticky:?}");
        }
        first.session.close("gone");
        let second = route.pick(&mut Choice::of(known)).unwrap();
        assert_ne!(second.instance, first.instance, "{sticky:?}");
        let forged = Known { address: None, mark: Some(Mark::of(EndpointId::new(), second.instance)) };
        let picks = (0..4).map(|_| route.pick(&mut Choice::of(forged)).unwrap().instance);
        assert_eq!(
            picks.collect::<std::collections::HashSet<_>>().len(),
            2,
            "a mark of no member counts as none"
        );
    }
}

#[tokio::test]
async fn whoever_was_started_last_says_how_a_pool_is_shared() {
    let routes = Routes::default();
    let claimed = claimed(EndpointId::new(), 1);
    let random = Pooling { balance: Balance::Random, sticky: Sticky::Address };
    let (older, newer) = (InstanceId::new(), InstanceId::new());
    let (second, _second) = pooled(newer, random);
    routes.bind(&claimed, second).unwrap();
    let (first, _first) = pooled(older, Pooling::default());
    routes.bind(&claimed, first).unwrap();
    assert_eq!(routes.get(&claimed.hostname).unwrap().pooling(), Some(random));
}

/// A directory that was restored from a backup may give the number of an epoch out a second time.
#[tokio::test]
async fn one_epoch_has_one_agent_unless_all_share() {
    let shared = Some(Pooling::default());
    for (first, second, joins) in
        [(None, None, false), (shared, None, false), (None, shared, false), (shared, shared, true)]
    {
        let (routes, claimed) = (Routes::default(), claimed(EndpointId::new(), 9));
        let instance = InstanceId::new();
        let (one, _one) = tunnel_of(instance, first);
        let (again, _again) = tunnel_of(instance, first);
        let (other, _other) = tunnel_of(InstanceId::new(), second);
        routes.bind(&claimed, Arc::clone(&one)).unwrap();
        routes.bind(&claimed, Arc::clone(&again)).unwrap();
        let bound = routes.bind(&claimed, Arc::clone(&other));
        assert_eq!(bound.err(), (!joins).then_some(BindError::Ambiguous));
        let route = routes.get(&claimed.hostname).unwrap();
        assert!(route.has(&one) && route.has(&again));
        assert_eq!(route.has(&other), joins);
    }
}

/// The last tunnel goes while another one comes: those who wait are told what holds in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_hears_last_what_happened_last() {
    let (holds, routes, endpoint) = (Holds::new(Instant::now()), Routes::default(), EndpointId::new());
    let (claimed, in_an_hour) = (claimed(endpoint, 1), Instant::now() + Duration::from_hours(1));
    for _ in 0..500 {
        let hold = holds.enter(&claimed.hostname, &tenant());
        let on_hold = |(tunnel, alive): (Arc<Tunnel>, _)| {
            let tunnel = Arc::into_inner(tunnel).unwrap();
            (Arc::new(Tunnel { hold: Arc::clone(&hold), ..tunnel }), alive)
        };
        let ((goes, _goes), (comes, _comes)) =
            (on_hold(tunnel(InstanceId::new())), on_hold(tunnel(InstanceId::new())));
        routes.bind(&claimed, Arc::clone(&goes)).unwrap();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                routes.unbind(&claimed, goes.session_id, || holds.vanished(&claimed.hostname));
            });
            scope.spawn(|| {
                start.wait();
                routes.bind(&claimed, Arc::clone(&comes)).unwrap();
            });
        });
        // What is not served is forgotten then.
        holds.sweep(in_an_hour);
        assert!(holds.find(&claimed.hostname).is_some(), "it is served, and nobody was told");
        routes.unbind(&claimed, comes.session_id, || {});
    }
}
