//! A revoked key cuts what lives by it.

use adit_e2e::{
    Database, EVENT_WITHIN, Home, Options, Origin, REVOKED_WITHIN, Stack, Visitor, digest, within,
};
use anyhow::{Context as _, Result};
use http::StatusCode;

#[tokio::test]
async fn a_revoked_key_cuts_its_sessions() -> Result<()> {
    revoke_on(Stack::start().await?).await
}

#[tokio::test]
async fn a_revoked_key_cuts_its_sessions_with_postgres() -> Result<()> {
    let database = Some(Database::create().await?);
    revoke_on(Stack::start_with(Options { database, ..Options::default() }).await?).await
}

#[tokio::test]
async fn a_revoked_capability_cuts_its_sessions() -> Result<()> {
    let stack = Stack::start().await?;
    let key = stack.tenant("acme").await?;
    let origin = Origin::start().await?;
    let home = Home::new(&stack, &key)?;
    let mut agent = home.http(&origin.port(), Some("demo"))?;
    agent.url().await?;
    let list: serde_json::Value = stack.admin(&["capability", "list", "--tenant", "acme"]).await?;
    let id = list[0]["id"].as_str().with_context(|| format!("no capability: {list}"))?;
    stack.admin_silent(&["capability", "revoke", id]).await?;
    // The key is good: the agent gets another capability and comes back.
    agent.event("disconnected", REVOKED_WITHIN).await?;
    agent.event("url_assigned", EVENT_WITHIN).await?;
    Ok(())
}

async fn revoke_on(stack: Stack) -> Result<()> {
    let key = stack.tenant("acme").await?;
    let other_key = stack.key("acme", "second").await?;
    let origin = Origin::start().await?;
    let (home, other_home) = (Home::new(&stack, &key)?, Home::new(&stack, &other_key)?);
    let mut agents = [home.http(&origin.port(), Some("one"))?, home.http(&origin.port(), Some("two"))?];
    let mut spared = other_home.http(&origin.port(), Some("three"))?;
    let mut visitors = Vec::new();
    for agent in agents.iter_mut().chain([&mut spared]) {
        visitors.push(Visitor::new(&stack, &agent.hostname().await?)?);
    }
    let mut connection = visitors[0].http2().await?;
    let running = connection.get("/parts").await?.into_body();
    let _parts = origin.parts().await?;

    stack.revoke(&key).await?;
    let cut = async {
        for agent in &mut agents {
            let end = agent.event("stopped", REVOKED_WITHIN).await?;
            assert_eq!(end["exit_code"], 4);
        }
        assert!(digest(running).await.is_err(), "what was running ended well");
        anyhow::Ok(())
    };
    within("the sessions are cut", REVOKED_WITHIN, cut).await??;
    for (agent, visitor) in agents.iter_mut().zip(&visitors) {
        assert_eq!(agent.exit(EVENT_WITHIN).await?, 4);
        let status = visitor.https().await?.get("/").await?.status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // It does not come back either.
    let mut again = home.http(&origin.port(), Some("one"))?;
    assert_eq!(again.exit(EVENT_WITHIN).await?, 4);
    assert!(!again.has_said("url_assigned"));
    // The tenant's other key is not touched.
    assert_eq!(visitors[2].https().await?.get("/").await?.status(), StatusCode::OK);
    assert!(spared.program().running()? && !spared.has_said("disconnected"));
    Ok(())
}
