//! Ends of the agent that another try would not change, and the statuses that tell them.

use adit_e2e::{Agent, EVENT_WITHIN, Home, Scene, Signal, Stack};
use anyhow::Result;

#[tokio::test]
async fn a_key_that_nobody_knows_is_4() -> Result<()> {
    let (stack, elsewhere) = (Stack::start().await?, Stack::start().await?);
    let mut home = Home::new(&stack, &elsewhere.tenant("acme").await?)?;
    let mut agent = home.http("3000", None)?;
    let told = assert_ends(&mut agent, 4).await?;
    assert_eq!(told["code"], "ADIT-4001");
    for nonsense in [Some("adit_nonsense".to_owned()), None] {
        home.authtoken = nonsense;
        assert_ends(&mut home.http("3000", None)?, 4).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_of_another_tenant_is_5() -> Result<()> {
    let scene = Scene::start().await?;
    let home = Home::new(&scene.stack, &scene.stack.tenant("other").await?)?;
    let mut agent = home.http(&scene.origin.port(), Some("demo"))?;
    assert_ends(&mut agent, 5).await?;
    // Whose it is, is not told, and it still serves.
    assert!(!agent.has_said("url_assigned") && !format!("{:?}", agent.seen()).contains("acme"));
    assert_eq!(scene.visitor.https().await?.get("/").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_name_that_can_be_nobodys_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    // Outside of the domain, and too deep in it.
    for name in ["demo.example.com", "a.b.localhost"] {
        let mut agent = scene.home.http(&scene.origin.port(), Some(name))?;
        assert_ends(&mut agent, 5).await?;
        assert!(!agent.has_said("url_assigned"), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_command_line_is_2() -> Result<()> {
    let stack = Stack::start().await?;
    let home = Home::new(&stack, &stack.tenant("acme").await?)?;
    for arguments in [
        vec![],
        vec!["nonsense"],
        vec!["http"],
        vec!["http", "not a port"],
        vec!["http", "0"],
        vec!["http", "65536"],
        vec!["http", "ftp://localhost"],
        vec!["http", "3000", "--url", "not a name"],
        vec!["http", "3000", "--nonsense"],
        vec!["--authtoken", "secret", "http", "3000"],
    ] {
        let output = home.command(&arguments)?.output().await?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_is_130_and_a_service_manager_gets_0() -> Result<()> {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let mut scene = Scene::start().await?;
        scene.agent.program().signal(signal)?;
        assert_ends(&mut scene.agent, status).await?;
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_works_while_there_is_no_server() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.stack.program().kill().await?;
    scene.agent.event("disconnected", EVENT_WITHIN).await?;
    scene.agent.program().signal(Signal::INT)?;
    assert_ends(&mut scene.agent, 130).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_told() -> Result<()> {
    let (stack, elsewhere) = (Stack::start().await?, Stack::start().await?);
    let key = stack.tenant("acme").await?;
    let mut home = Home::new(&elsewhere, &key)?;
    home.server = format!("{}:{}", stack.app_host(), stack.https().port());
    let mut agent = home.http("3000", None)?;
    let told = agent.event("disconnected", EVENT_WITHIN).await?;
    assert_eq!(told["reason"], "untrusted");
    assert!(!agent.has_said("connected"));
    Ok(())
}

/// It ends with this status, and its last event says so.
async fn assert_ends(agent: &mut Agent, status: i32) -> Result<serde_json::Value> {
    assert_eq!(agent.exit(EVENT_WITHIN).await?, status, "{:?}", agent.seen());
    let last = agent.seen().last().cloned().unwrap_or_default();
    assert_eq!((&last["event"], &last["exit_code"]), (&"stopped".into(), &status.into()));
    Ok(last)
}
