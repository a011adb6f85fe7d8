//! Several agents, one endpoint.

mod kinds;

use std::net::SocketAddr;
use std::time::Duration;

use adit_e2e::{Agent, Asking, EVENT_WITHIN, Home, Key, Origin, Stack, Visitor, until};
use anyhow::{Context as _, Result};
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// A member of a pool on a computer of its own.
struct Member {
    agent: Agent,
    origin: Origin,
    _home: Home,
}

impl Member {
    async fn start(stack: &Stack, key: &Key, more: &[&str]) -> Result<Self> {
        let (home, origin) = (Home::new(stack, key)?, Origin::start().await?);
        let port = origin.port();
        let common = ["http", &port, "--json", "--url", "demo", "--pooling"];
        let mut agent = home.adit(&[&common, more].concat())?;
        agent.url().await?;
        Ok(Self { agent, origin, _home: home })
    }
}

struct Place {
    a: Member,
    b: Member,
    visitor: Visitor,
    key: Key,
    stack: Stack,
}

impl Place {
    async fn start(more: &[&str]) -> Result<Self> {
        let stack = Stack::start().await?;
        let key = stack.tenant("acme").await?;
        let mut a = Member::start(&stack, &key, more).await?;
        let b = Member::start(&stack, &key, more).await?;
        let seen = a.agent.seen().last().cloned().unwrap_or_default();
        let hostname = format!("demo.{}", stack.domain());
        assert_eq!(seen["hostname"], hostname, "{seen}");
        assert!(a.agent.program().running()?);
        let visitor = Visitor::new(&stack, &hostname)?;
        Ok(Self { a, b, visitor, key, stack })
    }

    fn served(&self) -> (u64, u64) {
        (self.a.origin.requests(), self.b.origin.requests())
    }
}

#[tokio::test]
async fn two_agents_share_an_endpoint() -> Result<()> {
    let mut place = Place::start(&["--balance", "round-robin"]).await?;
    let mut connection = place.visitor.https().await?;
    for _ in 0..20 {
        assert_eq!(connection.get("/").await?.status(), 200);
    }
    assert_eq!(place.served(), (10, 10));
    assert!(!place.a.agent.has_said("replaced"));
    // One that does not ask for it takes over from both.
    let (home, origin) = (Home::new(&place.stack, &place.key)?, Origin::start().await?);
    let mut alone = home.http(&origin.port(), Some("demo"))?;
    alone.url().await?;
    assert_eq!(place.a.agent.exit(EVENT_WITHIN).await?, 5);
    assert_eq!(place.b.agent.exit(EVENT_WITHIN).await?, 5);
    assert_eq!(connection.get("/").await?.status(), 200);
    assert_eq!(origin.requests(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_costs_no_request_that_can_be_sent_again() -> Result<()> {
    let mut place = Place::start(&[]).await?;
    let load = Asking::start(&place.visitor);
    load.answered(300).await?;
    let (a, b) = place.served();
    assert!(a > 50 && b > 50, "both serve: {a} {b}");
    place.a.agent.program().kill().await?;
    load.answered(300).await?;
    load.end().await
}

#[tokio::test]
async fn a_member_without_its_upstream_is_out_until_that_is_back() -> Result<()> {
    let mut place = Place::start(&[]).await?;
    place.a.origin.kill().await;
    for _ in 0..20 {
        // A connection of its own each time, and a request that may not be sent twice.
        assert_eq!(place.visitor.http().await?.get("/").await?.status(), 200);
    }
    assert_eq!(place.b.origin.requests(), 20);
    place.a.origin = Origin::start_at(place.a.origin.address()).await?;
    let (visitor, origin) = (place.visitor.clone(), &place.a.origin);
    until("it serves again", EVENT_WITHIN, || async {
        let answer = async { visitor.http().await?.get("/").await };
        answer.await.is_ok_and(|answer| answer.status() == 200) && origin.requests() > 0
    })
    .await
}

/// Nobody visits; or visitors all the time, of whom none may fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_find_an_upstream_that_is_gone_and_when_it_is_back() -> Result<()> {
    for hangs in [false, true] {
        let mut place = Place::start(&["--balance", "round-robin"]).await?;
        let at = place.a.origin.address();
        place.a.origin.kill().await;
        let hanging = if hangs { Some(deaf(at).await?) } else { None };
        let load = if hangs { Some(Asking::start(&place.visitor)) } else { None };
        said(&mut place, "a member is out").await?;
        if load.is_none() {
            for _ in 0..20 {
                assert_eq!(place.visitor.http().await?.get("/").await?.status(), 200);
            }
            assert_eq!(place.b.origin.requests(), 20);
        }
        drop(hanging);
        place.a.origin = Origin::start_at(at).await?;
        said(&mut place, "a member's probes have ended").await?;
        let (visitor, origin) = (place.visitor.clone(), &place.a.origin);
        until("it serves again", EVENT_WITHIN, || async {
            let answer = async { visitor.http().await?.get("/").await };
            answer.await.is_ok_and(|answer| answer.status() == 200) && origin.requests() > 0
        })
        .await?;
        if let Some(load) = load {
            load.end().await?;
        }
    }
    Ok(())
}

/// Waits until the server's log has this. Probes of an upstream that hangs take their time.
async fn said(place: &mut Place, what: &str) -> Result<()> {
    let program = place.stack.program();
    until(what, 4 * EVENT_WITHIN, || async { program.log().contains(what) }).await
}

/// A service that listens and takes no connection: its queue is full, so the next ones hang.
async fn deaf(at: SocketAddr) -> Result<(TcpListener, Vec<TcpStream>)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    let listener = socket.listen(0)?;
    let mut waiting = Vec::new();
    while let Ok(taken) = timeout(Duration::from_millis(500), TcpStream::connect(at)).await {
        waiting.push(taken?);
    }
    Ok((listener, waiting))
}

#[tokio::test]
async fn a_cookie_brings_a_visitor_back() -> Result<()> {
    let place = Place::start(&["--balance", "round-robin", "--sticky", "cookie"]).await?;
    let mut connection = place.visitor.https().await?;
    let first = connection.get("/").await?;
    let set = first.headers().get(SET_COOKIE).context("no cookie")?.to_str()?.to_owned();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
    let before = place.served();
    let cookie = set.split(';').next().unwrap_or_default();
    for _ in 0..10 {
        let headers = HeaderMap::from_iter([(COOKIE, cookie.parse()?)]);
        connection.get_json("/echo-headers", headers).await?;
    }
    let after = place.served();
    let more = (after.0 - before.0, after.1 - before.1);
    assert!(more == (10, 0) || more == (0, 10), "{more:?}");
    Ok(())
}
