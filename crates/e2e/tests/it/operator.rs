//! What the operator does with endpoints, and what a mistyped or missing installation says.

use std::process::Stdio;

use adit_e2e::{
    Database, EVENT_WITHIN, Home, Options, Origin, REVOKED_WITHIN, Scene, Signal, Stack, Visitor, operator,
    until, within,
};
use adit_testkit::Postgres;
use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_removed_endpoint_is_served_no_more() -> Result<()> {
    remove_on(Stack::start().await?).await
}

#[tokio::test]
async fn a_removed_endpoint_is_served_no_more_with_postgres() -> Result<()> {
    let database = Some(Database::create().await?);
    remove_on(Stack::start_with(Options { database, ..Options::default() }).await?).await
}

async fn remove_on(stack: Stack) -> Result<()> {
    let (acme, other) = (stack.tenant("acme").await?, stack.tenant("other").await?);
    let origin = Origin::start().await?;
    let (home, others_home) = (Home::new(&stack, &acme)?, Home::new(&stack, &other)?);
    let mut agent = home.http(&origin.port(), Some("shop"))?;
    let mut spared = others_home.http(&origin.port(), Some("blog"))?;
    let (shop, blog) = (agent.hostname().await?, spared.hostname().await?);
    let (visitor, calm) = (Visitor::new(&stack, &shop)?, Visitor::new(&stack, &blog)?);
    assert_eq!(visitor.https().await?.get("/").await?.status(), StatusCode::OK);

    let all: Vec<Value> = stack.admin(&["endpoint", "list"]).await?;
    assert_eq!(all.len(), 2, "{all:?}");
    let of_acme: Vec<Value> = stack.admin(&["endpoint", "list", "--tenant", "acme"]).await?;
    let [listed] = of_acme.as_slice() else { anyhow::bail!("{of_acme:?}") };
    assert_eq!((&listed["tenant"], &listed["hostname"]), (&"acme".into(), &shop.as_str().into()));
    assert_eq!((&listed["kind"], &listed["port"]), (&"http".into(), &Value::Null));

    stack.admin_silent(&["endpoint", "remove", &shop]).await?;
    assert!(stack.admin_silent(&["endpoint", "remove", &shop]).await.is_err(), "it is gone");
    agent.event("stopped", REVOKED_WITHIN).await?;
    assert_ne!(agent.exit(EVENT_WITHIN).await?, 0);
    until("its name leads nowhere", EVENT_WITHIN, async || {
        let Ok(mut connection) = visitor.https().await else { return false };
        connection.get("/").await.is_ok_and(|answer| answer.status() == StatusCode::NOT_FOUND)
    })
    .await?;
    assert_eq!(calm.https().await?.get("/").await?.status(), StatusCode::OK);
    assert!(spared.program().running()? && !spared.has_said("disconnected"));

    // Nobody else gets the name, and its tenant can have it again.
    let mut thief = others_home.http(&origin.port(), Some("shop"))?;
    assert_ne!(thief.exit(EVENT_WITHIN).await?, 0);
    let mut again = home.http(&origin.port(), Some("shop"))?;
    assert_eq!(again.hostname().await?, shop);
    until("it serves again", EVENT_WITHIN, async || {
        let Ok(mut connection) = visitor.https().await else { return false };
        connection.get("/").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await
}

#[tokio::test]
async fn who_does_not_meter_has_no_usage() -> Result<()> {
    for is_unmetered in [true, false] {
        let options = Options { is_unmetered, ..Options::default() };
        let mut scene = Scene::start_on(Stack::start_with(options).await?).await?;
        assert_eq!(scene.visitor.https().await?.get("/").await?.status(), StatusCode::OK);
        scene.stack.program().signal(Signal::TERM)?;
        scene.stack.program().end(EVENT_WITHIN).await?;
        let rows: Vec<Value> = scene.stack.admin(&["usage", "--tenant", "acme"]).await?;
        assert_eq!(rows.is_empty(), is_unmetered, "{rows:?}");
        assert_eq!(scene.stack.data().join("usage").exists(), !is_unmetered);
    }
    Ok(())
}

#[tokio::test]
async fn a_mistyped_folder_is_no_new_installation() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let typo = folder.path().join("typo");
    let path = typo.to_str().context("a path in UTF-8")?;
    for words in [["tenant", "list"], ["endpoint", "list"]] {
        let mut command = operator(&["admin", "--data", path, words[0], words[1]])?;
        let output = within("aditd ends", EVENT_WITHIN, command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("--data") && said.contains(path), "{said}");
        assert!(!typo.exists());
    }
    let mut create = operator(&["admin", "--data", path, "tenant", "create", "me"])?;
    let output = within("aditd ends", EVENT_WITHIN, create.output()).await??;
    assert!(output.status.success() && typo.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut list = operator(&["admin", "--data", path, "tenant", "list"])?;
    assert!(within("aditd ends", EVENT_WITHIN, list.output()).await??.status.success());
    Ok(())
}

/// The system takes the connection, and nobody ever answers on it.
#[tokio::test]
async fn a_database_that_does_not_answer_is_told_and_given_up() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("postgres://adit:canary@{}/adit", silent.local_addr()?);
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("a path in UTF-8")?;
    for arguments in [
        &["up", "--dev", "--listen", "127.0.0.1:0", "--data", path][..],
        &["admin", "--data", path, "tenant", "list"],
    ] {
        let mut command = operator(arguments)?;
        let mut program =
            command.env("DATABASE_URL", &url).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(program.stderr.take().context("no log")?).lines();
        let mut said = String::new();
        let told = async {
            while let Some(line) = lines.next_line().await? {
                said.push_str(&line);
                if line.contains("does not answer yet") {
                    return anyhow::Ok(program.try_wait()?.is_none());
                }
            }
            Ok(false)
        };
        assert!(within("the silence is told", EVENT_WITHIN, told).await??, "{said}");
        while let Some(line) = lines.next_line().await? {
            said.push_str(&line);
        }
        let ended = within("aditd ends", EVENT_WITHIN, program.wait()).await??;
        assert!(!ended.success() && said.contains("in time") && !said.contains("canary"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_passes_over_row_security_is_warned_of() -> Result<()> {
    let postgres = tokio::task::spawn_blocking(Postgres::shared).await??;
    let folder = tempfile::tempdir()?;
    for (url, warned) in [(postgres.superusers_database()?, true), (postgres.database()?, false)] {
        let data = folder.path().join(warned.to_string());
        let path = data.to_str().context("a path in UTF-8")?;
        let mut command = operator(&["up", "--dev", "--listen", "127.0.0.1:0", "--data", path])?;
        command.args(["--http-listen", "127.0.0.1:0"]).env("DATABASE_URL", &url);
        let mut program = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(program.stderr.take().context("no log")?).lines();
        let mut is_warned = false;
        let serves = async {
            while let Some(line) = lines.next_line().await? {
                is_warned |= line.contains("row-level security");
                if line.contains("serving") {
                    return anyhow::Ok(true);
                }
            }
            Ok(false)
        };
        assert!(within("aditd serves", EVENT_WITHIN, serves).await??);
        assert_eq!(is_warned, warned);
        program.kill().await?;
    }
    Ok(())
}
