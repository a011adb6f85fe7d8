//! A server that is asked to end finishes what it has begun.

#![expect(clippy::panic_in_result_fn, reason = "a test fails by a panic")]

use std::time::Duration;

use adit_e2e::{EVENT_WITHIN, Parts, Scene, Signal, digest, until};
use anyhow::Result;
use tokio::net::TcpStream;

/// Far less than the server would wait for requests that do not end.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn requests_in_flight_are_finished() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connections = scene.visitor.each().await?;
    let mut running = Vec::new();
    for connection in &mut connections {
        let body = connection.get("/parts").await?.into_body();
        let parts = scene.origin.parts().await?;
        parts.send("before, ").await?;
        running.push((body, parts));
    }
    scene.stack.program().signal(Signal::TERM)?;
    refuses_visitors(&scene).await?;
    for (body, parts) in running {
        parts.send("after").await?;
        drop(parts);
        assert_eq!(digest(body).await?.0.bytes, 13);
    }
    let status = scene.stack.program().end(SOON).await?;
    assert_eq!(status.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn uploads_in_flight_are_finished() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    let (parts, body) = Parts::channel();
    let drained = async {
        parts.send("before, ").await?;
        scene.origin.upload("the first part", |upload| upload.bytes == 8).await?;
        scene.stack.program().signal(Signal::TERM)?;
        refuses_visitors(&scene).await?;
        parts.send("after").await?;
        drop(parts);
        anyhow::Ok(())
    };
    let (answer, drained) = tokio::join!(connection.upload("/upload", body), drained);
    drained?;
    assert_eq!(answer?["bytes"], 13);
    assert_eq!(scene.stack.program().end(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn nothing_in_flight_is_nothing_to_wait_for() -> Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let mut scene = Scene::start().await?;
        let _idle = scene.visitor.each().await?;
        scene.stack.program().signal(signal)?;
        assert_eq!(scene.stack.program().end(SOON).await?.code(), Some(0));
        let told = scene.agent.event("disconnected", EVENT_WITHIN).await?;
        assert_eq!(told["reason"], "draining");
    }
    Ok(())
}

/// Waits until the server takes no new connections: the drain has begun.
async fn refuses_visitors(scene: &Scene) -> Result<()> {
    let address = scene.stack.http();
    until("the drain begins", SOON, || async { TcpStream::connect(address).await.is_err() }).await
}
