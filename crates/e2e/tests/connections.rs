//! An agent with several connections, one of which fails.

#![expect(clippy::panic_in_result_fn, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use adit_e2e::{Agent, EVENT_WITHIN, Home, Options, Origin, Proxy, Stack, Visitor, digest, until};
use adit_process::tasks::{Task, Tasks};
use anyhow::{Result, ensure};
use http::StatusCode;

/// A lost link is noticed, and another one is there. Above Adit's heartbeat and its longest delay together.
const BACK_WITHIN: Duration = Duration::from_mins(2);

/// Visitors of a loaded endpoint, each with a connection of its own.
const VISITORS: usize = 8;

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

/// Visitors who ask again and again until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    visitors: Vec<Task<Result<()>>>,
}

impl Load {
    fn start(visitor: &Visitor) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = Tasks::new("load");
        let visitors = (0..VISITORS).map(|_| {
            let asking = ask(visitor.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tasks.spawn("visitor", asking)
        });
        Self { visitors: visitors.collect(), stop, answered }
    }

    /// Waits until so many more requests were answered.
    async fn answered(&self, more: u64) -> Result<()> {
        let enough = self.answered.load(Ordering::SeqCst) + more;
        until("requests are answered", BACK_WITHIN, || async {
            self.answered.load(Ordering::SeqCst) >= enough || self.visitors.iter().any(Task::is_finished)
        })
        .await
    }

    /// The first error of a visitor, if there was one.
    async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        for visitor in self.visitors {
            visitor.await??;
        }
        Ok(())
    }
}

async fn ask(visitor: Visitor, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Result<()> {
    let mut connection = visitor.https().await?;
    while !stop.load(Ordering::SeqCst) {
        let answer = connection.get("/").await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        ensure!(status == StatusCode::OK, "{status} {headers:?}");
        digest(answer.into_body()).await?;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_costs_no_request() -> Result<()> {
    let mut place = Place::start().await?;
    let load = Load::start(&place.visitor);
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
    let load = Load::start(&place.visitor);
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
