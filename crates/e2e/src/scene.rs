//! One of each: a stack, a computer with a running agent, an upstream and a visitor.

use anyhow::Result;

use crate::agent::{Agent, Home};
use crate::origin::Origin;
use crate::stack::{Key, Stack};
use crate::visitor::Visitor;

/// The tenant of a scene.
const TENANT: &str = "acme";

/// A service that is exposed.
#[derive(Debug)]
pub struct Scene {
    /// The visitor.
    pub visitor: Visitor,
    /// The agent, with its URL.
    pub agent: Agent,
    /// Where it runs.
    pub home: Home,
    /// What it signs in with.
    pub key: Key,
    /// What it forwards to.
    pub origin: Origin,
    /// The server. Last: everything else may talk to it until the end.
    pub stack: Stack,
}

impl Scene {
    /// The usual upstream, exposed at `demo`.
    pub async fn start() -> Result<Self> {
        let origin = Origin::start().await?;
        let upstream = origin.port();
        Self::of(origin, &upstream).await
    }

    /// Another upstream, exposed at `demo`. [`Scene::origin`] is there and not used.
    pub async fn start_with(upstream: &str) -> Result<Self> {
        Self::of(Origin::start().await?, upstream).await
    }

    /// The scene's tenant.
    #[must_use]
    pub const fn tenant(&self) -> &'static str {
        TENANT
    }

    /// The usual upstream, on a stack that is different.
    pub async fn start_on(stack: Stack) -> Result<Self> {
        let origin = Origin::start().await?;
        let upstream = origin.port();
        Self::of_stack(stack, origin, &upstream).await
    }

    async fn of(origin: Origin, upstream: &str) -> Result<Self> {
        Self::of_stack(Stack::start().await?, origin, upstream).await
    }

    async fn of_stack(stack: Stack, origin: Origin, upstream: &str) -> Result<Self> {
        let key = stack.tenant(TENANT).await?;
        let home = Home::new(&stack, &key)?;
        let mut agent = home.http(upstream, Some("demo"))?;
        let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
        Ok(Self { visitor, agent, home, key, origin, stack })
    }
}
