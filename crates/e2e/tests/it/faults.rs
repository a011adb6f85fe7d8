//! Faults under load, with ledgers: visitors write down what they were told, origins what arrived; the agent's events and
//! the server's log are read. Two tenants: what befalls the first's agent must not reach the second.

use std::time::{Duration, Instant};

use adit_e2e::{
    Agent, EVENT_WITHIN, Home, Key, LedgerOrigin, Load, Options, Proxy, Signal, Stack, Visitor, full, until,
};
use adit_testkit::ledger::{Bounds, Ledger};
use anyhow::{Context as _, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The agent's tries get rarer while there is no server, at most 30 s apart; a dead link is noticed after 15 s. Twice
/// that, for a machine that is busy.
const BOUNDS: Bounds = Bounds { back_within: Duration::from_secs(90), told_within: Duration::from_secs(90) };

/// All visitors have seen enough, after everything is healed.
const CONTENT_WITHIN: Duration = Duration::from_mins(3);

/// Log lines of a run beyond which nobody can read it: the server logs connections and sessions, not requests.
const LOG_LINES_MAX: usize = 2_000;

/// F1.
#[tokio::test]
async fn an_agent_is_killed_in_the_middle_of_transfers() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('b');
    for _ in 0..if full() { 50 } else { 4 } {
        place.carried(6).await?;
        place.faulty.program().kill().await?;
        place.ledger.note("the agent was killed");
        place.faulty = place.home.http(&place.origin.port(), Some("a"))?;
        place.faulty.event("url_assigned", BOUNDS.back_within).await?;
    }
    place.judge().await
}

/// F2.
#[tokio::test]
async fn the_server_is_killed_in_the_middle_of_transfers() -> Result<()> {
    let mut place = Place::start().await?;
    for _ in 0..if full() { 20 } else { 2 } {
        place.carried(6).await?;
        place.stack.program().kill().await?;
        place.ledger.note("the server was killed");
        place.stack.start_again().await?;
        place.faulty.event("url_assigned", BOUNDS.back_within).await?;
        place.spared.event("url_assigned", BOUNDS.back_within).await?;
    }
    place.judge().await
}

/// F3, for those whose requests come while it leaves.
#[tokio::test]
async fn the_server_is_stopped_and_started_under_load() -> Result<()> {
    let mut place = Place::start().await?;
    place.carried(6).await?;
    place.stack.program().signal(Signal::TERM)?;
    assert!(place.stack.program().end(BOUNDS.told_within).await?.success());
    place.stack.start_again().await?;
    place.judge().await
}

/// F9, F11: neither side is told that the network is gone.
#[tokio::test]
async fn the_network_goes_silent_between_agent_and_server() -> Result<()> {
    let place = Place::start().await?;
    let seconds: &[u64] = if full() { &[1, 5, 30, 120] } else { &[1, 20] };
    for seconds in seconds {
        place.carried(6).await?;
        place.proxy.set_silent(true);
        place.ledger.note(format!("silent for {seconds} s"));
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        place.proxy.set_silent(false);
        place.ledger.note("no longer silent");
    }
    place.judge().await
}

/// F12.
#[tokio::test]
async fn every_connection_is_cut_again_and_again() -> Result<()> {
    let place = Place::start().await?;
    place.carried(6).await?;
    for _ in 0..if full() { 300 } else { 15 } {
        place.proxy.cut_all();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    place.ledger.note("no more cuts");
    place.judge().await
}

/// F24: a process that does not run cannot answer.
#[tokio::test]
async fn an_agent_stands_still_for_a_while() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('b');
    let seconds: &[u64] = if full() { &[1, 5, 30] } else { &[2] };
    for seconds in seconds {
        place.carried(6).await?;
        place.faulty.program().signal(Signal::STOP)?;
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        place.faulty.program().signal(Signal::CONT)?;
        place.ledger.note(format!("stood still for {seconds} s"));
    }
    place.judge().await
}

/// F24, for the server: everyone waits, and nobody is lost.
#[tokio::test]
async fn the_server_stands_still_for_a_while() -> Result<()> {
    let mut place = Place::start().await?;
    let seconds: &[u64] = if full() { &[1, 5, 30] } else { &[2] };
    for seconds in seconds {
        place.carried(6).await?;
        place.stack.program().signal(Signal::STOP)?;
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        place.stack.program().signal(Signal::CONT)?;
        place.ledger.note(format!("the server stood still for {seconds} s"));
    }
    place.judge().await
}

/// F29: strangers who send garbage, half a greeting or nothing, and stay. Nobody else notices.
#[tokio::test]
async fn hostile_strangers_harm_nobody() -> Result<()> {
    const GREETINGS: [&[u8]; 4] =
        [b"", b"\x16\x03\x01\x02", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", &[0xff; 4096]];
    let place = Place::start().await?;
    place.ledger.spare('a');
    place.ledger.spare('b');
    let mut strangers = Vec::new();
    for greeting in GREETINGS.into_iter().cycle().take(if full() { 800 } else { 200 }) {
        for port in [place.stack.https(), place.stack.http()] {
            let mut stranger = TcpStream::connect(port).await?;
            // Some are reset before they have said everything.
            drop(stranger.write_all(greeting).await);
            strangers.push(stranger);
        }
    }
    place.carried(10).await?;
    place.ledger.note(format!("{} strangers", strangers.len()));
    place.judge().await
}

/// Two tenants under load, whose agents reach the server through a proxy.
struct Place {
    ledger: Ledger,
    loads: Vec<Load>,
    faulty: Agent,
    spared: Agent,
    home: Home,
    _other_home: Home,
    origin: LedgerOrigin,
    _other_origin: LedgerOrigin,
    proxy: Proxy,
    secrets: [String; 2],
    stack: Stack,
}

impl Place {
    async fn start() -> Result<Self> {
        let begun = Instant::now();
        let ledger = Ledger::new(move || begun.elapsed());
        let proxy = Proxy::start().await?;
        let stack =
            Stack::start_with(Options { public_port: Some(proxy.port()), ..Options::default() }).await?;
        proxy.forward_to(stack.https());
        let keys = [stack.tenant("tenant-a").await?, stack.tenant("tenant-b").await?];
        let (faulty, home, origin) = tenant(&stack, &keys[0], 'a', (&ledger, proxy.port())).await?;
        let (spared, other_home, other_origin) =
            tenant(&stack, &keys[1], 'b', (&ledger, proxy.port())).await?;
        let secrets = keys.map(|key| key.secret);
        let mut place = Self {
            ledger,
            loads: Vec::new(),
            faulty,
            spared,
            home,
            _other_home: other_home,
            origin,
            _other_origin: other_origin,
            proxy,
            secrets,
            stack,
        };
        for (mark, agent) in [('a', &mut place.faulty), ('b', &mut place.spared)] {
            let visitor = Visitor::new(&place.stack, &agent.hostname().await?)?;
            place.loads.push(Load::start(mark, &visitor, &place.ledger));
        }
        Ok(place)
    }

    /// Waits until so many more requests of each endpoint have ended.
    async fn carried(&self, more: usize) -> Result<()> {
        let ended = |mark| {
            let books = self.ledger.books();
            books.requests.values().filter(|asked| asked.mark == mark && !asked.told.is_empty()).count()
        };
        for mark in ['a', 'b'] {
            let enough = ended(mark) + more;
            until("requests are carried", EVENT_WITHIN, || std::future::ready(ended(mark) >= enough)).await?;
        }
        Ok(())
    }

    /// Nothing is broken any more: what must hold now, and what must have held.
    async fn judge(mut self) -> Result<()> {
        self.ledger.heal();
        let mut content = Ok(());
        for load in std::mem::take(&mut self.loads) {
            content = content.and(load.content(CONTENT_WITHIN).await);
        }
        let books = self.ledger.books();
        let violations = books.violations(BOUNDS);
        let log = books.log.join("\n");
        content.with_context(|| format!("{violations:#?}\n{log}"))?;
        assert!(violations.is_empty(), "{violations:#?}\n{log}");
        let said = self.stack.program().log();
        assert!(!said.contains("panicked"), "a task of the server panicked");
        assert!(!self.secrets.iter().any(|secret| said.contains(secret)), "a key in the server's log");
        assert!(said.lines().count() < LOG_LINES_MAX, "{} lines of log", said.lines().count());
        Ok(())
    }
}

async fn tenant(
    stack: &Stack,
    key: &Key,
    mark: char,
    (ledger, port): (&Ledger, u16),
) -> Result<(Agent, Home, LedgerOrigin)> {
    let origin = LedgerOrigin::start(mark, ledger.clone()).await?;
    let mut home = Home::new(stack, key)?;
    home.server = format!("{}:{port}", stack.app_host());
    let agent = home.http(&origin.port(), Some(&mark.to_string()))?;
    Ok((agent, home, origin))
}
