//! Whatever dies and comes back, the same URL serves again without help.

use std::time::Duration;

use adit_e2e::{
    Agent, Database, EVENT_WITHIN, Home, Options, Origin, Proxy, Scene, Signal, Stack, Visitor, until,
};
use anyhow::Result;
use http::{HeaderMap, StatusCode};

/// A dead link is noticed after 15 s of silence; then the agent waits at most a second or two, and needs a moment.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);

/// Before visitors are told, they wait for 15 s more: the agent may come back.
const TOLD_WITHIN: Duration = Duration::from_mins(1);

/// The agent's tries get rarer while there is no server, at most 30 s apart.
const BACK_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test]
async fn an_agent_that_was_killed_gets_its_url_back() -> Result<()> {
    for name in [Some("demo"), None] {
        let mut place = Place::start(name).await?;
        for _ in 0..2 {
            place.agent.program().kill().await?;
            place.agent = place.home.http(&place.origin.port(), name)?;
            assert_eq!(place.agent.url().await?, place.url);
            place.assert_serves().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_ended_gets_its_url_back() -> Result<()> {
    let mut place = Place::start(None).await?;
    place.agent.program().signal(Signal::INT)?;
    assert_eq!(place.agent.exit(BACK_WITHIN).await?, 130);
    place.agent = place.home.http(&place.origin.port(), None)?;
    assert_eq!(place.agent.url().await?, place.url);
    place.assert_serves().await
}

#[tokio::test]
async fn agents_come_back_to_a_server_that_was_killed() -> Result<()> {
    for name in [Some("demo"), None] {
        let place = Place::start(name).await?;
        kill_the_server(place).await?;
    }
    Ok(())
}

#[tokio::test]
async fn agents_come_back_to_a_server_that_was_killed_with_postgres() -> Result<()> {
    let database = Some(Database::create().await?);
    let stack = Stack::start_with(Options { database, ..Options::default() }).await?;
    kill_the_server(Place::on(stack, None, None).await?).await
}

async fn kill_the_server(mut place: Place) -> Result<()> {
    for _ in 0..2 {
        place.stack.program().kill().await?;
        place.agent.event("disconnected", NOTICED_WITHIN).await?;
        place.stack.start_again().await?;
        let back = place.agent.event("url_assigned", BACK_WITHIN).await?;
        assert_eq!(back["url"], place.url);
        place.assert_serves().await?;
    }
    Ok(())
}

#[tokio::test]
async fn agents_come_back_to_a_server_that_was_stopped() -> Result<()> {
    let mut place = Place::start(None).await?;
    place.stack.program().signal(Signal::TERM)?;
    assert!(place.stack.program().end(BACK_WITHIN).await?.success());
    place.agent.event("disconnected", NOTICED_WITHIN).await?;
    place.stack.start_again().await?;
    let back = place.agent.event("url_assigned", BACK_WITHIN).await?;
    assert_eq!(back["url"], place.url);
    place.assert_serves().await
}

#[tokio::test]
async fn a_silent_network_is_noticed_and_left_behind() -> Result<()> {
    let proxy = Proxy::start().await?;
    let stack = Stack::start_with(Options { public_port: Some(proxy.port()), ..Options::default() }).await?;
    proxy.forward_to(stack.https());
    let mut place = Place::on(stack, Some(proxy.port()), Some("demo")).await?;
    place.assert_serves().await?;
    proxy.set_silent(true);
    let lost = place.agent.event("disconnected", NOTICED_WITHIN).await?;
    assert_eq!(lost["reason"], "connection_lost");
    // The server notices too, and says so to visitors.
    let visitor = place.visitor.clone();
    until("visitors are told", TOLD_WITHIN, || async {
        let answer = async { visitor.http().await?.get("/").await };
        answer.await.is_ok_and(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    })
    .await?;
    proxy.set_silent(false);
    let back = place.agent.event("url_assigned", BACK_WITHIN).await?;
    assert_eq!(back["url"], place.url);
    place.assert_serves().await
}

#[tokio::test]
async fn an_agent_that_slept_comes_back() -> Result<()> {
    let mut place = Place::start(Some("demo")).await?;
    place.agent.program().signal(Signal::STOP)?;
    let visitor = place.visitor.clone();
    until("the server notices", TOLD_WITHIN, || async {
        let answer = async { visitor.http().await?.get("/").await };
        answer.await.is_ok_and(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    })
    .await?;
    place.agent.program().signal(Signal::CONT)?;
    let back = place.agent.event("url_assigned", BACK_WITHIN).await?;
    assert_eq!(back["url"], place.url);
    place.assert_serves().await
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_used_at_once() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connection = scene.visitor.https().await?;
    assert_eq!(connection.get("/").await?.status(), StatusCode::OK);
    scene.origin.kill().await;
    let mut connection = scene.visitor.https().await?;
    assert_eq!(connection.get("/").await?.status(), StatusCode::BAD_GATEWAY);
    scene.origin = Origin::start_at(scene.origin.address()).await?;
    let mut connection = scene.visitor.https().await?;
    assert_eq!(connection.get("/").await?.status(), StatusCode::OK);
    assert!(!scene.agent.has_said("disconnected"));
    Ok(())
}

/// A service exposed under a name or under the default of its agent.
struct Place {
    agent: Agent,
    url: String,
    visitor: Visitor,
    home: Home,
    origin: Origin,
    stack: Stack,
}

impl Place {
    async fn start(name: Option<&str>) -> Result<Self> {
        Self::on(Stack::start().await?, None, name).await
    }

    async fn on(stack: Stack, port: Option<u16>, name: Option<&str>) -> Result<Self> {
        let key = stack.tenant("acme").await?;
        let origin = Origin::start().await?;
        let mut home = Home::new(&stack, &key)?;
        if let Some(port) = port {
            home.server = format!("{}:{port}", stack.app_host());
        }
        let mut agent = home.http(&origin.port(), name)?;
        let assigned = agent.event("url_assigned", BACK_WITHIN).await?;
        let text = |field: &str| assigned[field].as_str().unwrap_or_default().to_owned();
        let visitor = Visitor::new(&stack, &text("hostname"))?;
        Ok(Self { agent, url: text("url"), visitor, home, origin, stack })
    }

    async fn assert_serves(&self) -> Result<()> {
        for mut connection in self.visitor.each().await? {
            connection.get_json("/echo-headers", HeaderMap::new()).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() -> Result<()> {
    let mut scene = Scene::start().await?;
    let second = scene.stack.start_second().await?;
    assert!(second.log().contains("another aditd (process "), "{}", second.log());
    assert!(scene.stack.program().running()?);
    assert_eq!(scene.visitor.https().await?.get("/").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn an_api_key_that_is_sent_to_an_endpoint_goes_no_further() -> Result<()> {
    let scene = Scene::start().await?;
    let mut home = Home::new(&scene.stack, &scene.key)?;
    home.server = format!("{}:{}", scene.visitor.hostname(), scene.stack.https().port());
    let before = scene.origin.requests();
    let mut agent = home.http(&scene.origin.port(), None)?;
    let stopped = agent.event("stopped", EVENT_WITHIN).await?;
    assert_eq!((stopped["code"].as_str(), stopped["exit_code"].as_i64()), (Some("ADIT-1011"), Some(5)));
    assert!(stopped["message"].as_str().is_some_and(|text| text.contains("endpoint")), "{stopped}");
    assert_eq!(scene.origin.requests(), before);
    Ok(())
}
