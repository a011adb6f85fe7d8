//! A node that runs out of room refuses new work in time and carries on what is there; a tenant that floods hurts itself.

use std::time::{Duration, Instant};

use adit_e2e::{Connection, Descriptors, Home, Options, Origin, Stack, Visitor, digest, empty, full, until};
use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

const SHED_WITHIN: Duration = Duration::from_secs(30);
/// Enough for the server itself, and soon used up.
const DESCRIPTORS: u32 = 1_000;
/// So few that a server which keeps to them sheds work at once.
const SOFT: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_short_of_descriptors_refuses_new_requests_and_finishes_old_ones() -> Result<()> {
    let options = Options { descriptors: Some(Descriptors::Hard(DESCRIPTORS)), ..Options::default() };
    let stack = Stack::start_with(options).await?;
    let (origin, key) = (Origin::start().await?, stack.tenant("acme").await?);
    let home = Home::new(&stack, &key)?;
    let mut agent = home.http(&origin.port(), Some("demo"))?;
    let visitor = Visitor::new(&stack, &agent.hostname().await?)?;

    let mut old = visitor.https().await?;
    let mut events = old.get("/sse").await?.into_body();
    let parts = origin.parts().await?;

    let mut idle = Vec::new();
    let begun = Instant::now();
    let refused = loop {
        let mut connection = visitor.http().await?;
        let answer = connection.get("/bytes/10?seed=1").await?;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        digest(answer.into_body()).await?;
        idle.push(connection);
        ensure!(begun.elapsed() < SHED_WITHIN, "{} connections, and still no end", idle.len());
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["adit-error"], "ADIT-3003");
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["connection"], "close");
    assert!(idle.len() > 50, "refused after {}", idle.len());

    // What was there before goes on.
    parts.send("data: still here\n\n").await?;
    let frame = events.frame().await.context("the stream goes on")??;
    assert_eq!(frame.into_data().ok().context("data")?, "data: still here\n\n");

    idle.clear();
    until("new requests are taken again", SHED_WITHIN, async || {
        let Ok(mut connection) = visitor.http().await else { return false };
        connection.get("/bytes/10?seed=1").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await?;
    Ok(())
}

/// More than a shell's usual 1,024 come, and each takes a descriptor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_started_with_few_descriptors_takes_as_many_as_it_may() -> Result<()> {
    let options = Options { descriptors: Some(Descriptors::Soft(SOFT)), ..Options::default() };
    let mut stack = Stack::start_with(options).await?;
    let [soft, hard] = stack.program().open_files_max()?;
    assert_eq!(soft, hard);
    assert!(soft > SOFT.into(), "{soft}");

    let (origin, key) = (Origin::start().await?, stack.tenant("acme").await?);
    let home = Home::new(&stack, &key)?;
    let mut agent = home.http(&origin.port(), Some("demo"))?;
    let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
    let mut held = Vec::new();
    for _ in 0..SOFT {
        let mut connection = visitor.http().await?;
        let answer = connection.get("/bytes/10?seed=1").await?;
        ensure!(answer.status() == StatusCode::OK, "{} after {}", answer.status(), held.len());
        digest(answer.into_body()).await?;
        held.push(connection);
    }
    Ok(())
}

/// Requests of the flood in flight at once; its endpoint may have 1,100, and its agent 1,000 for each connection.
const FLOOD: usize = 1_100;
const FLOOD_FULL: usize = 4_200;
const PROBES: usize = 100;
const PROBES_FULL: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_floods_leaves_its_neighbour_alone() -> Result<()> {
    let stack = Stack::start().await?;
    let (origin, neighbours_origin) = (Origin::start().await?, Origin::start().await?);
    let (flooder, neighbour) = (stack.tenant("flooder").await?, stack.tenant("neighbour").await?);
    let home = Home::new(&stack, &flooder)?;
    let connections = if full() { "4" } else { "1" };
    let arguments = ["http", &origin.port(), "--json", "--url", "flood", "--connections", connections];
    let mut agent = home.adit(&arguments)?;
    let target = Visitor::new(&stack, &agent.hostname().await?)?;
    let neighbours_home = Home::new(&stack, &neighbour)?;
    let mut neighbours_agent = neighbours_home.http(&neighbours_origin.port(), Some("calm"))?;
    let calm = Visitor::new(&stack, &neighbours_agent.hostname().await?)?;

    let before = probe(&calm).await?;
    let flood = Flood::start(&target, &origin).await?;
    assert!(flood.refused > 0, "nothing was refused");
    let during = probe(&calm).await?;
    flood.end().await;
    let after = probe(&calm).await?;
    if full() {
        // Generous: both share two cores with the flood's own visitors.
        let usual = before.max(after);
        assert!(during <= usual * 3 + Duration::from_millis(20), "p99 {during:?}, else {usual:?}");
    }
    // The flood is over: its endpoint serves again.
    until("the flooded endpoint serves", SHED_WITHIN, async || {
        let Ok(mut connection) = target.https().await else { return false };
        connection.get("/bytes/10?seed=1").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await
}

/// Requests that are never answered, over as many streams as fit, and those beyond.
struct Flood {
    _held: Vec<Connection>,
    driving: Tasks,
    refused: usize,
}

impl Flood {
    async fn start(visitor: &Visitor, origin: &Origin) -> Result<Self> {
        let wanted = if full() { FLOOD_FULL } else { FLOOD };
        let driving = Tasks::new("flood");
        let (refusals, mut refused) = tokio::sync::mpsc::channel(FLOOD_FULL);
        let mut held = Vec::new();
        for _ in 0..wanted.div_ceil(100) {
            let connection = visitor.http2().await?;
            for _ in 0..100 {
                let mut stream = connection.stream()?;
                let refusals = refusals.clone();
                driving.spawn("one of the flood", async move {
                    let request = stream.request(Method::GET, "/hang", empty())?;
                    let answer = stream.send(request).await?;
                    let _ = refusals.send(answer.status()).await;
                    anyhow::Ok(())
                });
            }
            held.push(connection);
        }
        let status = tokio::time::timeout(SHED_WITHIN * 2, refused.recv()).await?.context("an answer")?;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS,
            "{status}"
        );
        ensure!(origin.requests() > 0, "the flood does not arrive");
        Ok(Self { _held: held, driving, refused: 1 + refused.len() })
    }

    /// Gives all of it up. An HTTP/2 connection lives as long as a request on it.
    async fn end(self) {
        self.driving.join_all(Duration::ZERO).await;
    }
}

/// The slowest of a hundred probes but one, none of which may fail.
async fn probe(visitor: &Visitor) -> Result<Duration> {
    let mut connections = visitor.each().await?;
    let mut times = Vec::new();
    for _ in 0..if full() { PROBES_FULL } else { PROBES } {
        let probes = connections.iter_mut().map(|connection| async move {
            let begun = Instant::now();
            let got = connection.download("/bytes/1000?seed=1").await?;
            ensure!(got.bytes == 1_000, "{got:?}");
            Ok(begun.elapsed())
        });
        times.extend(join_all(probes).await.into_iter().collect::<Result<Vec<_>>>()?);
    }
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().context("probes")
}
