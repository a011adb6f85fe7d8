//! F22: stream after stream over one session. It stays the same session, and costs no more at the end than at the begin.

use std::time::Duration;

use adit_e2e::{RawOrigin, Scene, Visitor, full, head_of};
use adit_testkit::ledger::Slack;
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;

const STREAMS: usize = 4_000;
const STREAMS_FULL: usize = 1_000_000;
/// At once, so that streams begin and end in every order.
const VISITORS: usize = 16;
/// Before anything is compared: caches fill.
const WARM: usize = 800;

const SLACK: Slack = Slack { descriptors: 24, threads: 24, resident_bytes: 24 * 1024 * 1024 };
const EVENT_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_come_and_go_over_one_session() -> Result<()> {
    // It closes each connection, so that each request takes another stream.
    let origin = RawOrigin::start(|mut stream| async move {
        head_of(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await?;
        Ok(stream.shutdown().await?)
    })
    .await?;
    let mut scene = Scene::start().await?;
    let upstream = origin.port();
    let arguments = ["http", &upstream, "--json", "--url", "churn", "--connections", "1"];
    let mut agent = scene.home.adit(&arguments)?;
    let session = agent.event("connected", EVENT_WITHIN).await?["session"].clone();
    let visitor = Visitor::new(&scene.stack, &agent.hostname().await?)?;

    churn(&visitor, WARM).await?;
    let (server, program) = (scene.stack.program().held()?, agent.program().held()?);
    churn(&visitor, if full() { STREAMS_FULL } else { STREAMS }).await?;
    let leaked = server.leaked(&scene.stack.program().held()?, SLACK);
    assert!(leaked.is_empty(), "the server: {leaked:?}");
    let leaked = program.leaked(&agent.program().held()?, SLACK);
    assert!(leaked.is_empty(), "the agent: {leaked:?}");
    agent.catch_up().await?;
    let sessions: Vec<_> = agent.seen().iter().filter(|event| event["event"] == "connected").collect();
    ensure!(sessions.len() == 1 && sessions.iter().all(|event| event["session"] == session), "{sessions:?}");
    Ok(())
}

async fn churn(visitor: &Visitor, streams: usize) -> Result<()> {
    let visits = (0..VISITORS).map(|_| async {
        let mut connection = visitor.http().await?;
        for _ in 0..streams / VISITORS {
            let answer = connection.get("/").await?;
            ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
            ensure!(answer.into_body().collect().await?.to_bytes() == "ok", "another body");
        }
        Ok(())
    });
    try_join_all(visits).await?;
    Ok(())
}
