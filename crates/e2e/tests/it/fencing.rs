//! Who serves an endpoint when several want to.

use adit_e2e::{Agent, EVENT_WITHIN, Home, Origin, Scene, Visitor};
use anyhow::Result;

#[tokio::test]
async fn two_agents_with_two_names_live_side_by_side() -> Result<()> {
    let mut scene = Scene::start().await?;
    let other_origin = Origin::start().await?;
    // The same computer, the same key: two terminals.
    let mut other = scene.home.http(&other_origin.port(), Some("other"))?;
    let other_visitor = Visitor::new(&scene.stack, &other.hostname().await?)?;
    for round in 1..=3 {
        assert_eq!(other_visitor.https().await?.get("/").await?.status(), 200);
        assert_eq!(scene.visitor.https().await?.get("/").await?.status(), 200);
        assert_eq!((scene.origin.requests(), other_origin.requests()), (round, round));
    }
    assert!(scene.agent.program().running()? && other.program().running()?);
    assert!(!scene.agent.has_said("disconnected") && !other.has_said("disconnected"));
    Ok(())
}

#[tokio::test]
async fn two_agents_with_two_upstreams_have_two_default_urls() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut one = scene.home.http(&scene.origin.port(), None)?;
    let other_origin = Origin::start().await?;
    let mut two = scene.home.http(&other_origin.port(), None)?;
    let (one_url, two_url) = (one.url().await?, two.url().await?);
    assert_ne!(one_url, two_url);
    let visitor =
        Visitor::new(&scene.stack, two_url.trim_start_matches("https://").split(':').next().unwrap_or(""))?;
    assert_eq!(visitor.https().await?.get("/").await?.status(), 200);
    assert_eq!((scene.origin.requests(), other_origin.requests()), (0, 1));
    assert!(scene.agent.program().running()?);
    Ok(())
}

#[tokio::test]
async fn the_newer_agent_takes_the_name_from_another_computer() -> Result<()> {
    let mut scene = Scene::start().await?;
    let laptop = Home::new(&scene.stack, &scene.key)?;
    take_over(&mut scene, &laptop).await
}

#[tokio::test]
async fn the_newer_agent_takes_the_name_on_the_same_computer() -> Result<()> {
    let mut scene = Scene::start().await?;
    let terminal = Home::new(&scene.stack, &scene.key)?;
    let same = std::mem::replace(&mut scene.home, terminal);
    take_over(&mut scene, &same).await
}

async fn take_over(scene: &mut Scene, home: &Home) -> Result<()> {
    let origin = Origin::start().await?;
    let mut newer = home.http(&origin.port(), Some("demo"))?;
    let newer_url = newer.url().await?;
    assert_eq!(newer_url, format!("https://{}", scene.visitor.https_authority()));
    assert_replaced(&mut scene.agent).await?;
    for mut connection in scene.visitor.each().await? {
        assert_eq!(connection.get("/").await?.status(), 200);
    }
    assert_eq!((scene.origin.requests(), origin.requests()), (0, 3));
    assert!(newer.program().running()?);
    assert!(!newer.has_said("disconnected") && !newer.has_said("replaced"), "{:?}", newer.seen());
    Ok(())
}

/// It says so, ends with 5, and has not tried to come back.
async fn assert_replaced(agent: &mut Agent) -> Result<()> {
    assert_eq!(agent.exit(EVENT_WITHIN).await?, 5);
    assert!(agent.has_said("replaced"), "{:?}", agent.seen());
    let assigned = agent.seen().iter().filter(|event| event["event"] == "url_assigned").count();
    assert_eq!(assigned, 1, "it fought back: {:?}", agent.seen());
    let last = agent.seen().last().cloned().unwrap_or_default();
    assert_eq!((&last["event"], &last["exit_code"]), (&"stopped".into(), &5.into()));
    Ok(())
}

#[tokio::test]
async fn what_the_replaced_agent_was_serving_is_not_served_on() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    // A pooled connection to the older upstream exists from now on.
    assert_eq!(connection.get("/").await?.status(), 200);
    let origin = Origin::start().await?;
    let mut newer = scene.home.http(&origin.port(), Some("demo"))?;
    newer.url().await?;
    for round in 1..=3 {
        assert_eq!(connection.get("/").await?.status(), 200);
        assert_eq!((scene.origin.requests(), origin.requests()), (1, round));
    }
    assert_replaced(&mut scene.agent).await
}
