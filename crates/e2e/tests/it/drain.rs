//! A server that is asked to end finishes what it has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adit_e2e::{
    EVENT_WITHIN, Options, Parts, RawOrigin, Scene, Signal, Stack, digest, head_of, until, within,
};
use anyhow::Result;
use futures::future::try_join_all;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Far less than the server would wait for requests that do not end.
const SOON: Duration = Duration::from_secs(10);

/// A server with nothing to wait for is gone within this time. What Adit promises, not what a test allows.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A machine that was busy for a moment gets another try.
const TRIES: usize = 3;

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
        let mut took = vec![leaves_idle(signal).await?];
        while took.len() < TRIES && took.iter().all(|took| *took >= AT_ONCE) {
            took.push(leaves_idle(signal).await?);
        }
        assert!(took.iter().any(|took| *took < AT_ONCE), "{signal:?}: {took:?}");
    }
    Ok(())
}

/// How long a server takes to leave that has an agent, and visitors who have been served and are still there.
async fn leaves_idle(signal: Signal) -> Result<Duration> {
    let mut scene = Scene::start().await?;
    scene.agent.connected().await?;
    let mut kept = scene.visitor.each().await?;
    for connection in &mut kept {
        assert_eq!(connection.download("/bytes/1000?seed=1").await?.bytes, 1_000);
    }
    // Those that have not said what they want.
    let _unused = scene.visitor.each().await?;
    let _silent = TcpStream::connect(scene.stack.https()).await?;
    let begun = Instant::now();
    scene.stack.program().signal(signal)?;
    assert_eq!(scene.stack.program().end(SOON).await?.code(), Some(0));
    let took = begun.elapsed();
    let told = scene.agent.event("disconnected", EVENT_WITHIN).await?;
    assert_eq!(told["reason"], "draining");
    Ok(took)
}

#[tokio::test]
async fn two_hundred_requests_in_flight_are_finished() -> Result<()> {
    const REQUESTS: usize = 200;
    let (release, released) = watch::channel(false);
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let origin = RawOrigin::start(move |mut stream| {
        let (mut released, counter) = (released.clone(), Arc::clone(&counter));
        async move {
            head_of(&mut stream).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            released.wait_for(|released| *released).await?;
            Ok(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?)
        }
    })
    .await?;
    let mut scene = Scene::start_with(&origin.port()).await?;
    let h2 = scene.visitor.http2().await?;
    let mut connections = Vec::new();
    for n in 0..REQUESTS {
        connections.push(if n % 4 == 0 { h2.stream()? } else { scene.visitor.http().await? });
    }
    let requests = connections.iter_mut().map(|connection| async {
        let answer = connection.get("/").await?;
        assert_eq!(answer.status(), StatusCode::OK);
        digest(answer.into_body()).await
    });
    let drained = async {
        until("all are in flight", EVENT_WITHIN * 2, || async { arrived.load(Ordering::SeqCst) == REQUESTS })
            .await?;
        scene.stack.program().signal(Signal::TERM)?;
        refuses_visitors(&scene).await?;
        release.send_replace(true);
        scene.stack.program().end(EVENT_WITHIN).await
    };
    let (answers, drained) = tokio::join!(try_join_all(requests), drained);
    assert!(answers?.iter().all(|(digest, _)| digest.bytes == 2));
    assert_eq!(drained?.code(), Some(0));
    Ok(())
}

/// Downloads in flight over each kind of connection, and a WebSocket's like.
async fn in_flight(scene: &Scene) -> Result<Vec<(Response<Incoming>, Parts)>> {
    let mut running = Vec::new();
    for mut connection in scene.visitor.each().await? {
        let answer = connection.get("/parts").await?;
        let parts = scene.origin.parts().await?;
        parts.send("a part").await?;
        running.push((answer, parts));
        // Kept until the test's end: dropping it would cut.
        std::mem::forget(connection);
    }
    Ok(running)
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_so_that_it_shows() -> Result<()> {
    let options = Options { drain_timeout: Some(1), ..Options::default() };
    let mut scene = Scene::start_on(Stack::start_with(options).await?).await?;
    let running = in_flight(&scene).await?;
    scene.stack.program().signal(Signal::TERM)?;
    assert_eq!(scene.stack.program().end(EVENT_WITHIN).await?.code(), Some(0));
    for (answer, parts) in running {
        let version = answer.version();
        assert!(digest(answer.into_body()).await.is_err(), "{version:?} took a part for the whole");
        drop(parts);
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() -> Result<()> {
    let options = Options { drain_timeout: Some(3600), ..Options::default() };
    let mut scene = Scene::start_on(Stack::start_with(options).await?).await?;
    let running = in_flight(&scene).await?;
    scene.stack.program().signal(Signal::TERM)?;
    refuses_visitors(&scene).await?;
    assert!(scene.stack.program().running()?, "it waits for what is in flight");
    let ended = async {
        // The first ones may come before it listens for the second.
        loop {
            scene.stack.program().signal(Signal::INT)?;
            if let Ok(status) = scene.stack.program().end(Duration::from_secs(1)).await {
                return anyhow::Ok(status);
            }
        }
    };
    assert_eq!(within("the end", EVENT_WITHIN, ended).await??.code(), Some(0));
    for (answer, _parts) in running {
        assert!(digest(answer.into_body()).await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn agents_go_to_the_next_server_before_the_old_one_is_gone() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connection = scene.visitor.https().await?;
    let answer = connection.get("/parts").await?;
    let parts = scene.origin.parts().await?;
    parts.send("before, ").await?;
    scene.stack.program().signal(Signal::TERM)?;
    refuses_visitors(&scene).await?;
    let mut old = scene.stack.replace().await?;
    scene.agent.event("url_assigned", EVENT_WITHIN * 2).await?;
    assert!(old.running()?, "a request is in flight there");
    assert_eq!(scene.visitor.https().await?.get("/").await?.status(), StatusCode::OK);
    parts.send("after").await?;
    drop(parts);
    assert_eq!(digest(answer.into_body()).await?.0.bytes, 13);
    assert_eq!(old.end(SOON).await?.code(), Some(0));
    assert_eq!(scene.visitor.https().await?.get("/").await?.status(), StatusCode::OK);
    Ok(())
}

/// Waits until the server takes no new connections: the drain has begun.
async fn refuses_visitors(scene: &Scene) -> Result<()> {
    let address = scene.stack.http();
    until("the drain begins", SOON, || async { TcpStream::connect(address).await.is_err() }).await
}
