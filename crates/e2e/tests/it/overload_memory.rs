//! A node whose memory runs out refuses new work in time, goes on with what is there, and takes new work again.

use std::time::{Duration, Instant};

use adit_e2e::{
    Agent, Connection, EVENT_WITHIN, Home, Options, Origin, Proxy, Stack, Visitor, digest, until, within,
};
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// As little as a server may be given, and several times what one needs that has nothing to do.
const MEMORY_MIB: u64 = 64;

/// What the server may have resident beyond that: whoever is there already goes on, and an allocator keeps what it likes.
const BEYOND_BYTES: u64 = 32 * 1024 * 1024;

/// Each has a part of the memory for streams: one could not use it up.
const TENANTS: [&str; 4] = ["one", "two", "three", "four"];

/// Requests that come at once.
const AT_ONCE: usize = 16;

/// More than any visitor here reads.
const DOWNLOAD: &str = "/bytes/100000000?seed=1";

const WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_short_of_memory_refuses_new_work_and_goes_on_with_the_old() -> Result<()> {
    let proxy = Proxy::start().await?;
    let options =
        Options { memory_max: Some(MEMORY_MIB), public_port: Some(proxy.port()), ..Options::default() };
    let mut stack = Stack::start_with(options).await?;
    proxy.forward_to(stack.https());
    let origin = Origin::start().await?;
    // The first whose connection is through the proxy.
    let mut idle = Tenant::start(&stack, &origin, "idle").await?;
    let tenants = try_join_all(TENANTS.map(|name| Tenant::start(&stack, &origin, name))).await?;
    let mut old = tenants[0].visitor.https().await?;
    let mut events = old.get("/sse").await?.into_body();
    let parts = origin.parts().await?;

    let mut crowd = stalled_readers(&tenants).await?;
    refuses_agents(&mut idle, &proxy).await?;
    let newcomer = Home::new(&stack, &stack.tenant("newcomer").await?)?;
    let mut newcomer = newcomer.http(&origin.port(), Some("newcomer"))?;
    let told = newcomer.event("disconnected", EVENT_WITHIN).await?;
    assert_eq!((&told["reason"], &told["code"]), (&"unavailable".into(), &"ADIT-3003".into()));

    // What was there before goes on.
    parts.send("data: still here\n\n").await?;
    let frame = events.frame().await.context("the stream goes on")??;
    assert_eq!(frame.into_data().ok().context("data")?, "data: still here\n\n");
    let (_, reader) = crowd.readers.first_mut().context("readers")?;
    for _ in 0..100 {
        within("more of a download", WITHIN, reader.body_mut().frame()).await?.context("its end")??;
    }
    drop(crowd);
    for agent in [&mut idle.agent, &mut newcomer] {
        agent.event("url_assigned", WITHIN).await?;
    }
    for tenant in tenants.iter().chain([&idle]) {
        tenant.is_served().await?;
    }
    // What the first crowd held is room for the next, and not more than that.
    drop(stalled_readers(&tenants).await?);
    let peak = stack.program().peak_resident_bytes()?;
    assert!(peak <= MEMORY_MIB * 1024 * 1024 + BEYOND_BYTES, "{} KiB", peak / 1024);
    idle.is_served().await
}

struct Tenant {
    agent: Agent,
    visitor: Visitor,
    _home: Home,
}

impl Tenant {
    async fn start(stack: &Stack, origin: &Origin, name: &str) -> Result<Self> {
        let home = Home::new(stack, &stack.tenant(name).await?)?;
        let arguments = ["http", &origin.port(), "--json", "--url", name, "--connections", "1"];
        let mut agent = home.adit(&arguments)?;
        let visitor = Visitor::new(stack, &agent.hostname().await?)?;
        Ok(Self { agent, visitor, _home: home })
    }

    /// New work is taken, sooner or later.
    async fn is_served(&self) -> Result<()> {
        until("new requests are taken again", WITHIN, async || {
            let Ok(mut connection) = self.visitor.https().await else { return false };
            connection.download("/bytes/10?seed=1").await.is_ok_and(|got| got.bytes == 10)
        })
        .await
    }

    /// A visitor who asks for much and reads nothing.
    async fn stalled(&self) -> Result<(Connection, Response<Incoming>)> {
        let mut connection = self.visitor.https().await?;
        let answer = connection.get(DOWNLOAD).await?;
        Ok((connection, answer))
    }
}

/// Visitors who read nothing, of all tenants, until the node has no memory for another one. Their streams have a part of the
/// memory only; those who are refused for their tenant's sake stay on their connections, and cost the rest.
async fn stalled_readers(tenants: &[Tenant]) -> Result<Crowd> {
    let (mut crowd, begun) = (Crowd::default(), Instant::now());
    loop {
        for tenant in tenants {
            for (connection, answer) in try_join_all((0..AT_ONCE).map(|_| tenant.stalled())).await? {
                if answer.status() == StatusCode::OK {
                    crowd.readers.push((connection, answer));
                    continue;
                }
                assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
                assert!(answer.headers().contains_key("retry-after"));
                if answer.headers()["adit-error"] == "ADIT-3003" {
                    assert!(crowd.readers.len() > AT_ONCE, "refused after {}", crowd.readers.len());
                    return Ok(crowd);
                }
                digest(answer.into_body()).await?;
                crowd.refused.push(connection);
            }
        }
        let (readers, refused) = (crowd.readers.len(), crowd.refused.len());
        ensure!(begun.elapsed() < WITHIN, "{readers} readers, {refused} refused, and still no end");
    }
}

/// All who are there.
#[derive(Default)]
struct Crowd {
    readers: Vec<(Connection, Response<Incoming>)>,
    refused: Vec<Connection>,
}

/// An agent that loses its connection, and has all that it needs to come back, is told to wait.
async fn refuses_agents(idle: &mut Tenant, proxy: &Proxy) -> Result<()> {
    proxy.cut_one();
    let cut = idle.agent.event("disconnected", EVENT_WITHIN).await?;
    assert_eq!(cut["reason"], "connection_lost");
    let told = idle.agent.event("disconnected", EVENT_WITHIN).await?;
    assert_eq!(told["reason"], "unavailable");
    assert!(told["message"].to_string().contains("overloaded"), "{told}");
    Ok(())
}
