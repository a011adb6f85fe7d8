//! Requests survive what comes back soon: an agent that was killed, an upstream that is restarted. Never twice what must
//! not be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adit_e2e::{
    Digest, EVENT_WITHIN, Origin, RawOrigin, Scene, Signal, empty, head_of, patterned, text, until,
};
use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long the server waits for an agent that has vanished.
const HOLD: Duration = Duration::from_secs(15);

/// What one request keeps of its body.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// The agent is killed as by a power cut, and the server has noticed.
async fn lose_the_agent(scene: &mut Scene) -> Result<()> {
    let losses = |scene: &mut Scene| scene.stack.program().log().matches("agent disconnected").count();
    let before = losses(scene);
    scene.agent.program().kill().await?;
    let began = Instant::now();
    while losses(scene) == before {
        anyhow::ensure!(began.elapsed() < EVENT_WITHIN, "the server does not notice");
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn bring_it_back(scene: &mut Scene, upstream: &str) -> Result<()> {
    scene.agent = scene.home.http(upstream, Some("demo"))?;
    scene.agent.url().await?;
    Ok(())
}

#[tokio::test]
async fn requests_wait_for_an_agent_that_comes_back_with_all_of_their_body() -> Result<()> {
    let mut scene = Scene::start().await?;
    lose_the_agent(&mut scene).await?;
    let mut waiting = Vec::new();
    for bytes in [0, 5, BODY_BYTES_MAX - 1, BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 1_000_000] {
        for mut connection in scene.visitor.each().await? {
            waiting.push(async move {
                let answer = connection.upload("/upload", patterned(1, bytes)).await?;
                let expected = Digest::of_pattern(1, bytes);
                assert_eq!(
                    (answer["bytes"].as_u64(), answer["sha256"].as_str()),
                    (Some(bytes), Some(expected.sha256.as_str())),
                    "{bytes}"
                );
                anyhow::Ok(())
            });
        }
    }
    let sent = waiting.len() as u64;
    let upstream = scene.origin.port();
    let (answered, back) = tokio::join!(try_join_all(waiting), bring_it_back(&mut scene, &upstream));
    answered?;
    back?;
    assert_eq!(scene.origin.requests(), sent, "each once");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_does_not_come_back_is_waited_for_so_long() -> Result<()> {
    let mut scene = Scene::start().await?;
    lose_the_agent(&mut scene).await?;
    let asked = Instant::now();
    let mut connections = scene.visitor.each().await?;
    let waiting = connections.iter_mut().map(|connection| async {
        let request = connection.request(Method::POST, "/upload", text("x"))?;
        anyhow::Ok(connection.send(request).await?.status())
    });
    let statuses = try_join_all(waiting).await?;
    assert!(statuses.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE), "{statuses:?}");
    assert!(asked.elapsed() < 2 * HOLD);
    let again = Instant::now();
    for connection in &mut connections {
        assert_eq!(connection.get("/").await?.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(again.elapsed() < HOLD, "nobody waits any more");
    assert_eq!(scene.origin.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn requests_wait_for_an_upstream_that_is_restarted() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut connection = scene.visitor.https().await?;
    assert_eq!(connection.get("/").await?.status(), StatusCode::OK);
    scene.origin.kill().await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        for mut connection in scene.visitor.each().await? {
            waiting.push(async move { connection.upload("/upload", patterned(1, 100_000)).await });
        }
    }
    let sent = waiting.len() as u64;
    let restarted = async {
        scene.agent.event("upstream_refused", EVENT_WITHIN).await?;
        Origin::start_at(scene.origin.address()).await
    };
    let (answered, restarted) = tokio::join!(try_join_all(waiting), restarted);
    let origin = restarted?;
    assert!(answered?.iter().all(|answer| answer["bytes"] == 100_000));
    assert_eq!(origin.requests(), sent, "each once");
    Ok(())
}

/// What an upstream has acted on, request by request.
#[derive(Debug, Default)]
struct Ledger(Mutex<HashMap<String, usize>>);

impl Ledger {
    fn note(&self, head: &str) {
        let target = head.split("\r\n").next().unwrap_or_default().to_owned();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(target).or_default() += 1;
    }

    fn count(&self, line: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(line).copied().unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// An upstream that notes each request and says that it did.
async fn noting(ledger: Arc<Ledger>) -> Result<RawOrigin> {
    RawOrigin::start(move |mut stream| {
        let ledger = Arc::clone(&ledger);
        async move {
            loop {
                let head = head_of(&mut stream).await?;
                let mut body = vec![0; if head.starts_with("POST") { 4 } else { 0 }];
                stream.read_exact(&mut body).await?;
                ledger.note(&head);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_agent_that_is_killed_under_load_costs_no_safe_request_and_doubles_no_other() -> Result<()> {
    const WORKERS: usize = 4;
    const ROUNDS: usize = 60;
    let ledger = Arc::new(Ledger::default());
    let origin = noting(Arc::clone(&ledger)).await?;
    let mut scene = Scene::start_with(&origin.port()).await?;
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        for (kind, mut connection) in scene.visitor.each().await?.into_iter().enumerate() {
            workers.push(async move {
                let mut outcomes = Vec::new();
                for round in 0..ROUNDS {
                    for (method, body) in [(Method::POST, text("body")), (Method::GET, empty())] {
                        let path = format!("/{worker}-{kind}-{round}");
                        let request = connection.request(method.clone(), &path, body)?;
                        let answer = connection.send(request).await.with_context(|| path.clone())?;
                        let status = answer.status();
                        answer.into_body().collect().await.with_context(|| path.clone())?;
                        outcomes.push((format!("{method} {path} HTTP/1.1"), status));
                    }
                }
                anyhow::Ok(outcomes)
            });
        }
    }
    let upstream = origin.port();
    let killed = async {
        for quarter in 1..=2 {
            let some = quarter * WORKERS * ROUNDS;
            until("some requests have passed", EVENT_WITHIN * 2, || async { ledger.len() >= some }).await?;
            scene.agent.program().kill().await?;
            bring_it_back(&mut scene, &upstream).await?;
        }
        anyhow::Ok(())
    };
    let (outcomes, killed) = tokio::join!(try_join_all(workers), killed);
    killed?;
    let mut lost = 0;
    for (request, status) in outcomes?.into_iter().flatten() {
        let times = ledger.count(&request);
        let is_safe = request.starts_with("GET");
        assert!(times <= if is_safe { 2 } else { 1 }, "{request} was acted on {times} times");
        if status == StatusCode::OK {
            assert!(times >= 1, "{request} was answered by nobody");
        } else {
            assert_eq!(status, StatusCode::BAD_GATEWAY, "{request}");
            assert!(!is_safe, "{request} could have been sent again");
            lost += 1;
        }
    }
    // Those that were under way when it was killed, one of each worker's connections at most.
    assert!(lost <= 2 * 3 * WORKERS, "{lost} requests were lost");
    Ok(())
}

/// As a service manager restarts it.
#[tokio::test]
async fn an_agent_that_is_restarted_loses_no_request() -> Result<()> {
    let mut scene = Scene::start().await?;
    let mut begun = scene.visitor.https().await?;
    let answer = begun.get("/parts").await?;
    let parts = scene.origin.parts().await?;
    parts.send("before, ").await?;
    scene.agent.program().signal(Signal::TERM)?;
    until("the endpoint is held", EVENT_WITHIN, || {
        let is_held = scene.stack.program().log().contains("tunnel held");
        async move { is_held }
    })
    .await?;
    let mut waiting = Vec::new();
    for mut connection in scene.visitor.each().await? {
        waiting.push(async move {
            let answer = connection.upload("/upload", patterned(1, 1_000)).await?;
            assert_eq!(answer["bytes"].as_u64(), Some(1_000));
            anyhow::Ok(())
        });
    }
    let finish = async {
        parts.send("after").await?;
        drop(parts);
        assert_eq!(adit_e2e::digest(answer.into_body()).await?.0.bytes, 13);
        anyhow::ensure!(scene.agent.exit(EVENT_WITHIN).await? == 0, "an orderly end");
        scene.agent = scene.home.http(&scene.origin.port(), Some("demo"))?;
        scene.agent.url().await
    };
    let (answered, back) = tokio::join!(try_join_all(waiting), finish);
    answered?;
    back?;
    Ok(())
}

/// Its further connections are under way then: some are connecting, some have asked and have no answer yet.
#[tokio::test]
async fn an_agent_that_is_interrupted_while_it_connects_is_not_waited_for() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.agent.program().kill().await?;
    let upstream = scene.origin.port();
    for round in 0..8 {
        let tunnels = |scene: &mut Scene| scene.stack.program().log().matches("tunnel up").count();
        let before = tunnels(&mut scene);
        scene.agent =
            scene.home.adit(&["http", &upstream, "--json", "--url", "demo", "--connections", "8"])?;
        let began = Instant::now();
        while tunnels(&mut scene) < before + 1 + round % 4 {
            anyhow::ensure!(began.elapsed() < EVENT_WITHIN, "it does not connect");
            tokio::task::yield_now().await;
        }
        scene.agent.program().signal(Signal::INT)?;
        scene.agent.exit(EVENT_WITHIN).await?;
        let asked = Instant::now();
        let status = scene.visitor.https().await?.get("/").await?.status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(asked.elapsed() < HOLD / 2, "{round}: {:?}", asked.elapsed());
    }
    Ok(())
}
