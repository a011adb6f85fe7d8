//! Plans: two tenants with different ones get different limits, and one that goes beyond its own hurts itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_e2e::{Agent, EVENT_WITHIN, Home, Key, Origin, Stack, Visitor, digest, until};
use adit_process::tasks::Tasks;
use anyhow::{Context as _, Result, ensure};
use http::StatusCode;

/// A tenant with a service.
struct Tenant {
    _agent: Agent,
    origin: Origin,
    visitor: Visitor,
    _home: Home,
}

impl Tenant {
    async fn start(stack: &Stack, key: &Key, name: &str) -> Result<Self> {
        let (home, origin) = (Home::new(stack, key)?, Origin::start().await?);
        let mut agent = home.http(&origin.port(), Some(name))?;
        let visitor = Visitor::new(stack, &agent.hostname().await?)?;
        Ok(Self { _agent: agent, origin, visitor, _home: home })
    }
}

/// More requests at once than the smaller plan allows in a second, in rounds.
const ROUND: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_with_different_plans_get_different_limits() -> Result<()> {
    let stack = Stack::start().await?;
    let (small, large) = (stack.tenant("small").await?, stack.tenant("large").await?);
    let put: serde_json::Value = stack.admin(&["tenant", "plan", "small", "starter"]).await?;
    assert_eq!(put["plan"], "starter");
    let tenants: Vec<serde_json::Value> = stack.admin(&["tenant", "list"]).await?;
    let plans: Vec<_> = tenants.iter().map(|tenant| (&tenant["name"], &tenant["plan"])).collect();
    assert_eq!(format!("{plans:?}").matches("starter").count(), 1, "{plans:?}");
    assert!(stack.admin_silent(&["tenant", "plan", "nobody", "starter"]).await.is_err());
    assert!(stack.admin_silent(&["tenant", "plan", "small", "huge"]).await.is_err());

    let small = Tenant::start(&stack, &small, "small").await?;
    let large = Tenant::start(&stack, &large, "large").await?;
    let mut flood = small.visitor.https().await?;
    let mut calm = large.visitor.https().await?;
    // The rounds are there for machines that are too slow for so many requests in a second.
    let refused = 'flooded: loop {
        for _ in 0..ROUND {
            let answer = calm.get("/bytes/10?seed=1").await?;
            ensure!(answer.status() == StatusCode::OK, "a neighbour gets {}", answer.status());
            digest(answer.into_body()).await?;
        }
        for _ in 0..ROUND {
            let answer = flood.get("/bytes/10?seed=1").await?;
            if answer.status() != StatusCode::OK {
                break 'flooded answer;
            }
            digest(answer.into_body()).await?;
        }
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["adit-error"], "ADIT-2008");
    assert!(refused.headers().contains_key("retry-after"));
    digest(refused.into_body()).await?;
    assert!(large.origin.requests() > 0 && small.origin.requests() > 0);

    // A moment later it is served again.
    until("the small tenant is served", EVENT_WITHIN, async || {
        let Ok(mut visitor) = small.visitor.https().await else { return false };
        visitor.get("/").await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_has_so_many_endpoints_over_all_agents() -> Result<()> {
    let stack = Stack::start().await?;
    let key = stack.tenant("small").await?;
    stack.admin_silent(&["tenant", "plan", "small", "starter"]).await?;
    let mut served = Vec::new();
    let mut refused = None;
    for n in 0..11 {
        let home = Home::new(&stack, &key)?;
        let name = format!("n{n}");
        let mut agent = home.adit(&["http", "9", "--json", "--url", &name, "--connections", "1"])?;
        if n < 10 {
            agent.url().await?;
            served.push((agent, home));
        } else {
            refused = Some((agent.exit(EVENT_WITHIN).await?, format!("{:?}", agent.seen()), home));
        }
    }
    let (exit, said, _home) = refused.context("none was refused")?;
    assert_ne!(exit, 0);
    assert!(said.contains("too many endpoints of the tenant"), "{said}");
    Ok(())
}

/// How the visitors of a flood fared.
#[derive(Default)]
struct Fate {
    served: AtomicUsize,
    told: AtomicUsize,
    cut: AtomicUsize,
}

/// Asks as fast as it can, over and over, and connects anew when it has to.
async fn flood(visitor: Visitor, fate: Arc<Fate>) {
    loop {
        let Ok(mut connection) = visitor.https().await else {
            fate.cut.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            continue;
        };
        while let Ok(answer) = connection.get("/bytes/10?seed=1").await {
            let counter = match answer.status() {
                StatusCode::OK => &fate.served,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => &fate.told,
                _ => return,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            if digest(answer.into_body()).await.is_err() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_beyond_its_plan_costs_its_neighbour_no_request() -> Result<()> {
    const FLOODING: usize = 8;
    const ASKED: usize = 200;
    let stack = Stack::start().await?;
    let (small, large) = (stack.tenant("small").await?, stack.tenant("large").await?);
    stack.admin_silent(&["tenant", "plan", "small", "starter"]).await?;
    let small = Tenant::start(&stack, &small, "small").await?;
    let large = Tenant::start(&stack, &large, "large").await?;
    let (tasks, fate) = (Tasks::new("flood"), Arc::new(Fate::default()));
    let flooding: Vec<_> = (0..FLOODING)
        .map(|_| tasks.spawn("flood", flood(small.visitor.clone(), Arc::clone(&fate))))
        .collect();
    let told = || fate.told.load(Ordering::Relaxed);
    until("the flood is told", EVENT_WITHIN, async || told() > 0).await?;
    let before = told();
    let mut calm = large.visitor.https().await?;
    for n in 0..ASKED {
        if n % 10 == 0 {
            calm = large.visitor.https().await?;
        }
        let answer = calm.get("/bytes/10?seed=1").await?;
        ensure!(answer.status() == StatusCode::OK, "request {n} of the neighbour: {}", answer.status());
        digest(answer.into_body()).await?;
    }
    assert!(fate.served.load(Ordering::Relaxed) > 0);
    until("the flood goes on", EVENT_WITHIN, async || told() > before).await?;
    assert!(flooding.iter().all(|task| !task.is_finished()), "an answer that is neither 200, 429 nor 503");
    tasks.join_all(Duration::ZERO).await;
    Ok(())
}
