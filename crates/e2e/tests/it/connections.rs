//! An agent with several connections, one of which fails.

use std::time::Duration;

use adit_e2e::{Agent, Asking, EVENT_WITHIN, Home, Options, Origin, Proxy, Stack, Visitor};
use anyhow::Result;
use http::StatusCode;

/// A lost link is noticed, and another one is there. Above Adit's heartbeat and its longest delay together.
const BACK_WITHIN: Duration = Duration::from_mins(2);

/// An agent with four connections, all of which go through a proxy.
struct Place {
    agent: Agent,
    visitor: Visitor,
    home: Home,
    origin: Origin,
    proxy: Proxy,
    _stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        let proxy = Proxy::start().await?;
        let options = Options { public_port: Some(proxy.port()), ..Options::default() };
        let stack = Stack::start_with(options).await?;
        proxy.forward_to(stack.https());
        let key = stack.tenant("acme").await?;
        let origin = Origin::start().await?;
        let mut home = Home::new(&stack, &key)?;
        home.server = format!("{}:{}", stack.app_host(), proxy.port());
        let port = origin.port();
        let mut agent = home.adit(&["http", &port, "--json", "--url", "demo", "--connections", "4"])?;
        let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
        connections(&mut agent, 4).await?;
        Ok(Self { agent, visitor, home, origin, proxy, _stack: stack })
    }
}

/// Waits until the agent says that it has so many connections.
async fn connections(agent: &mut Agent, open: u64) -> Result<()> {
    loop {
        let event = agent.event("connections", BACK_WITHIN).await?;
        if event["open"] == open {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_costs_no_request() -> Result<()> {
    let mut place = Place::start().await?;
    let load = Asking::start(&place.visitor);
    for _ in 0..3 {
        load.answered(200).await?;
        place.proxy.cut_one();
        connections(&mut place.agent, 3).await?;
        load.answered(100).await?;
        connections(&mut place.agent, 4).await?;
    }
    load.end().await?;
    assert!(!place.agent.has_said("disconnected"), "{:?}", place.agent.seen());
    assert!(place.origin.requests() >= 900);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_costs_no_request() -> Result<()> {
    let mut place = Place::start().await?;
    let load = Asking::start(&place.visitor);
    load.answered(200).await?;
    place.proxy.silence_one();
    load.answered(1000).await?;
    connections(&mut place.agent, 3).await?;
    connections(&mut place.agent, 4).await?;
    load.answered(100).await?;
    load.end().await?;
    assert!(!place.agent.has_said("disconnected"), "{:?}", place.agent.seen());
    Ok(())
}

#[tokio::test]
async fn the_takeover_of_another_agent_ends_all_of_them() -> Result<()> {
    let mut place = Place::start().await?;
    let mut newer = place.home.http(&place.origin.port(), Some("demo"))?;
    newer.url().await?;
    assert_eq!(place.agent.exit(EVENT_WITHIN).await?, 5);
    assert!(place.agent.has_said("replaced"));
    assert_eq!(place.visitor.https().await?.get("/").await?.status(), StatusCode::OK);
    Ok(())
}
