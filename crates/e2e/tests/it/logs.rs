//! A log that nobody can write or read costs its lines, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use adit_e2e::{EVENT_WITHIN, Home, Options, Origin, Scene, Stack, Visitor, until, within};
use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// Each is a line of the log, which all together are several times what a pipe holds and a queue besides.
const REQUESTS: usize = 5_000;

/// The endpoint serves, and the log gets a line for each of so many requests that nobody serves.
async fn serves(scene: &Scene, requests: usize) -> Result<()> {
    let mut connection = scene.visitor.https().await?;
    let answer = within("an answer", EVENT_WITHIN, connection.get("/bytes/10?seed=1")).await??;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    adit_e2e::digest(answer.into_body()).await?;
    let nobody = Visitor::new(&scene.stack, &format!("nobody.{}", scene.stack.domain()))?;
    let mut connection = nobody.https().await?;
    for _ in 0..requests {
        let answer = within("an answer", EVENT_WITHIN, connection.get("/")).await??;
        ensure!(answer.status() == StatusCode::NOT_FOUND, "{}", answer.status());
        adit_e2e::digest(answer.into_body()).await?;
    }
    Ok(())
}

/// A pipe with a name, which is held open and not read.
fn pipe(folder: &TempDir) -> Result<(std::path::PathBuf, File)> {
    let path = folder.path().join("log");
    ensure!(Command::new("mkfifo").arg(&path).status()?.success(), "no pipe");
    // Both ends, so that opening waits for nobody.
    let held = OpenOptions::new().read(true).write(true).open(&path).context("the pipe cannot be opened")?;
    Ok((path, held))
}

#[tokio::test]
async fn a_server_whose_log_has_no_room_on_the_disk_serves() -> Result<()> {
    let options = Options { log: Some("trace"), log_to: Some("/dev/full".into()), ..Options::default() };
    let mut scene = Scene::start_on(Stack::start_with(options).await?).await?;
    serves(&scene, REQUESTS).await?;
    assert!(scene.stack.program().running()?);
    Ok(())
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_serves_and_says_later_what_was_lost() -> Result<()> {
    let folder = TempDir::new()?;
    let (path, mut held) = pipe(&folder)?;
    let options = Options { log: Some("trace"), log_to: Some(path), ..Options::default() };
    let mut scene = Scene::start_on(Stack::start_with(options).await?).await?;
    serves(&scene, REQUESTS).await?;
    assert!(scene.stack.program().running()?);

    let reading = spawn_blocking(move || {
        // As fast as they are written, or the queue is never empty.
        let mut lines = BufReader::new(&mut held).lines();
        while !lines.next().context("the pipe ended")??.contains("lines of the log were lost") {}
        anyhow::Ok(())
    });
    // Something is logged now and then, so the reader goes on until it has seen what it waits for.
    until("what was lost is said", EVENT_WITHIN, async || {
        serves(&scene, 1).await.is_ok() && reading.is_finished()
    })
    .await?;
    reading.await??;
    Ok(())
}

#[tokio::test]
async fn an_agent_whose_log_nobody_reads_serves() -> Result<()> {
    let folder = TempDir::new()?;
    let (path, _held) = pipe(&folder)?;
    for errors in
        [OpenOptions::new().write(true).open("/dev/full")?, OpenOptions::new().write(true).open(path)?]
    {
        let stack = Stack::start().await?;
        let (origin, key) = (Origin::start().await?, stack.tenant("acme").await?);
        let home = Home::new(&stack, &key)?;
        let arguments = ["http", &origin.port(), "--url", "demo", "--log", "stderr", "--log-level", "trace"];
        let mut command = home.command(&arguments)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(errors)).kill_on_drop(true);
        let mut agent = command.spawn()?;
        let visitor = Visitor::new(&stack, &format!("demo.{}", stack.domain()))?;
        until("the endpoint serves", EVENT_WITHIN, async || {
            let Ok(mut connection) = visitor.https().await else { return false };
            connection.get("/").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await?;
        let mut connection = visitor.https().await?;
        for _ in 0..300 {
            let answer = within("an answer", EVENT_WITHIN, connection.get("/bytes/10?seed=1")).await??;
            ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
            adit_e2e::digest(answer.into_body()).await?;
        }
        assert!(agent.try_wait()?.is_none(), "it ended");
        agent.kill().await?;
    }
    Ok(())
}
