//! A system that runs.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, bail};

use super::program::Program;
use super::site::Site;
use crate::limits::{ATTEMPT_WITHIN, LOOK_EVERY, READY_WITHIN};
use crate::measure::{Memory, Window};
use crate::origin::{SMALL, SMALL_BODY};
use crate::visitor::{Purpose, Target};

/// The programs of a system, and where visitors and agents connect.
#[derive(Default)]
pub struct Endpoints {
    target: Option<Target>,
    server: Vec<Program>,
    agent: Vec<Program>,
    agents_dial: Option<SocketAddr>,
    public: Option<SocketAddr>,
}

/// A system that serves. Dropping it ends its programs, the agent's first, and removes its folder.
pub struct Running {
    agent: Vec<Program>,
    server: Vec<Program>,
    target: Option<Target>,
    agents_dial: Option<SocketAddr>,
    /// Last: programs may write to it until they end.
    site: Site,
}

impl Endpoints {
    /// No system at all: visitors reach the origin, over the far link if there is one.
    pub fn origin(site: &Site) -> Self {
        Self::visited(Target::plain(site.seen_from_afar(site.origin())))
    }

    /// Visitors in the clear connect here.
    pub fn visited(target: Target) -> Self {
        Self { target: Some(target), ..Self::default() }
    }

    /// Visitors connect here, in the clear; it is remembered for whoever stands in front.
    pub fn open_to(address: SocketAddr) -> Self {
        Self { public: Some(address), ..Self::visited(Target::plain(address)) }
    }

    /// With a program of the server.
    pub fn with_server(mut self, program: Program) -> Self {
        self.server.push(program);
        self
    }

    /// With the agent's program.
    pub fn with_agent(mut self, program: Program) -> Self {
        self.agent.push(program);
        self
    }

    /// With the address where agents connect.
    pub const fn with_agents_at(mut self, address: SocketAddr) -> Self {
        self.agents_dial = Some(address);
        self
    }

    /// Where visitors connect who speak no TLS.
    pub fn public(&self) -> SocketAddr {
        self.public.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same behind something that visitors meet first.
    pub fn behind(mut self, front: Self) -> Self {
        self.server.extend(front.server);
        Self { target: front.target, ..self }
    }
}

impl Running {
    pub(super) fn new(site: Site, endpoints: Endpoints) -> Self {
        let Endpoints { target, server, agent, agents_dial, public: _ } = endpoints;
        Self { agent, server, target, agents_dial, site }
    }

    /// What visitors connect to.
    pub fn target(&self) -> Result<&Target> {
        match &self.target {
            Some(target) => Ok(target),
            None => bail!("it has no public address"),
        }
    }

    /// Where agents connect, if there are any.
    pub const fn agents_dial(&self) -> Option<SocketAddr> {
        self.agents_dial
    }

    /// Where it runs.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Waits until the origin's answer comes through.
    pub(super) async fn until_it_serves(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let problem = match tokio::time::timeout(ATTEMPT_WITHIN, attempt(self.target()?)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "no answer".to_owned(),
            };
            self.check()?;
            if started.elapsed() > READY_WITHIN {
                let words: Vec<String> =
                    self.server.iter().chain(&self.agent).map(Program::last_words).collect();
                bail!("it does not serve: {problem}; {}", words.join("; "));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Fails if a program has ended.
    pub fn check(&mut self) -> Result<()> {
        self.server.iter_mut().chain(&mut self.agent).try_for_each(Program::check)
    }

    /// Starts to measure CPU time.
    pub fn window(&self) -> Result<Window> {
        Window::open(&ids(&self.server), &ids(&self.agent))
    }

    /// Whether there is an agent.
    pub fn has_agent(&self) -> bool {
        !self.agent.is_empty()
    }

    /// Whether there is a server.
    pub fn has_server(&self) -> bool {
        !self.server.is_empty()
    }

    /// Memory of the server and of the agent.
    pub fn memory(&self) -> Result<[Memory; 2]> {
        Ok([Memory::of(&ids(&self.server))?, Memory::of(&ids(&self.agent))?])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // All are asked before the first is waited for.
        for program in self.agent.iter_mut().chain(&mut self.server) {
            program.ask_to_end();
        }
    }
}

fn ids(programs: &[Program]) -> Vec<u32> {
    programs.iter().map(Program::id).collect()
}

async fn attempt(target: &Target) -> Result<()> {
    let mut visitor = target.connect(Purpose::Small).await?;
    visitor.exchange(&target.request("GET", SMALL, ""), SMALL_BODY).await
}
