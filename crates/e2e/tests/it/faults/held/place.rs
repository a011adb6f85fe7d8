//! An endpoint of every kind, each with an agent of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_e2e::{
    Agent, GrpcOrigin, Home, Options, Origin, PortSlot, Proxy, RawOrigin, Signal, Speaks, Stack, Visitor,
};
use anyhow::{Context as _, Result};

use crate::tcp;
use crate::tls::Service;

/// An agent has its endpoint, on a machine that is busy.
const BACK_WITHIN: Duration = Duration::from_mins(2);

pub(super) struct Place {
    pub(super) web: Visitor,
    pub(super) calls: Visitor,
    pub(super) tcp: SocketAddr,
    pub(super) sealed: Service,
    pub(super) origin: Arc<Origin>,
    pub(super) callee: GrpcOrigin,
    _echo: RawOrigin,
    agents: Vec<Agent>,
    /// How each of them is started.
    commands: [String; 4],
    home: Home,
    /// Between agents and server.
    pub(super) proxy: Proxy,
    pub(super) stack: Stack,
}

impl Place {
    pub(super) async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    pub(super) async fn start_with(options: Options) -> Result<Self> {
        let proxy = Proxy::start().await?;
        let (ports, public_port) = (Some(PortSlot::take()?), Some(proxy.port()));
        let stack = Stack::start_with(Options { ports, public_port, ..options }).await?;
        proxy.forward_to(stack.https());
        let mut home = Home::new(&stack, &stack.tenant("acme").await?)?;
        home.server = format!("{}:{}", stack.app_host(), proxy.port());
        let (origin, callee) = (Origin::start().await?, GrpcOrigin::start(Speaks::Http2, None).await?);
        let (echo, sealed) = (RawOrigin::echo().await?, Service::start().await?);
        let commands = [
            format!("http {} --url web", origin.port()),
            format!("http {} --url calls --upstream-protocol http2", callee.port()),
            format!("tcp {} --url echo", echo.port()),
            format!("tls {} --url secret", sealed.origin.port()),
        ];
        let visitor = |name: &str| Visitor::new(&stack, &format!("{name}.{}", stack.domain()));
        let (web, calls) = (visitor("web")?, visitor("calls")?);
        let mut place = Self {
            web,
            calls,
            tcp: SocketAddr::from(([127, 0, 0, 1], 0)),
            sealed,
            origin: Arc::new(origin),
            callee,
            _echo: echo,
            agents: Vec::new(),
            commands,
            home,
            proxy,
            stack,
        };
        place.start_agents()?;
        let urls = place.bound().await?;
        place.tcp = tcp::address(urls.get(2).context("no port")?)?;
        Ok(place)
    }

    /// In the place of those that there were.
    pub(super) fn start_agents(&mut self) -> Result<()> {
        let start = |command: &String| {
            let arguments: Vec<_> = command.split(' ').chain(["--json"]).collect();
            self.home.adit(&arguments)
        };
        self.agents = self.commands.iter().map(start).collect::<Result<_>>()?;
        Ok(())
    }

    /// Waits until all of them have their endpoints, and returns the URLs.
    pub(super) async fn bound(&mut self) -> Result<Vec<String>> {
        let mut urls = Vec::new();
        for agent in &mut self.agents {
            let event = agent.event("url_assigned", BACK_WITHIN).await?;
            urls.push(event["url"].as_str().context("no URL")?.to_owned());
        }
        Ok(urls)
    }

    /// As a power cut would, all at once.
    pub(super) async fn kill_agents(&mut self) -> Result<()> {
        for agent in &mut self.agents {
            agent.program().signal(Signal::KILL)?;
        }
        for agent in &mut self.agents {
            agent.program().end(BACK_WITHIN).await?;
        }
        Ok(())
    }
}
