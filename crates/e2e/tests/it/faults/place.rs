//! Two tenants under load: what befalls the first's agent must not reach the second.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use adit_e2e::{
    Agent, EVENT_WITHIN, HERE, Home, Key, LedgerOrigin, Load, Mood, Network, Options, Proxy, QUERY_SECRET,
    SMALL_BYTES_MAX, Signal, Stack, Visitor, full, until,
};
use adit_testkit::ledger::{
    AccessLogs, Asked, Books, Bounds, Held, Killed, Ledger, Noticed, Slack, Slowdown, Told, quiet, slowed,
    slower,
};
use anyhow::{Context as _, Result};

use super::hostile::Hostiles;
use super::promises::{DEAD, USUAL};

/// What is waited for happens at some time; how soon it must is said by the promises.
pub(super) const EVENTUALLY: Duration = Duration::from_secs(90);

/// All visitors have seen enough, after everything is healed.
const CONTENT_WITHIN: Duration = Duration::from_mins(3);

/// What the server logs: what it usually does, and its access log.
const LOG: &str = "info,adit::access=debug";

/// An agent's log, in its home.
const AGENT_LOG: &str = "agent.log";

/// Log lines of a run beyond which nobody can read it: beside the access log the server logs connections and sessions, not
/// requests.
const LOG_LINES_MAX: usize = 2_000;

/// And for each agent that was killed: its four sessions end, and four others begin.
const LOG_LINES_PER_KILL: usize = 20;

/// What a server may hold after a run beyond what it held before. Visitors leave without a word, and it may keep upstream
/// connections for a while.
pub(super) const SLACK: Slack = Slack { descriptors: 12, threads: 24, resident_bytes: 96 * 1024 * 1024 };

/// Of the middle one of a neighbour's small answers. The machine is shared by the load and everything else, also by
/// programs that are started again.
const SLOWDOWN: Slowdown = Slowdown { percent_max: 300, noise: Duration::from_millis(20) };

/// Of the slowest hundredth of all its answers: only what stands still is found.
const STANDSTILL: Slowdown = Slowdown { percent_max: 500, noise: Duration::from_secs(3) };
const STANDSTILL_FULL: Slowdown = Slowdown { percent_max: 300, noise: Duration::from_secs(1) };

/// Requests of each endpoint that are carried before the first fault.
const CARRIED_FIRST: usize = 6;

/// How agents reach the server.
pub(super) enum Way {
    /// Directly.
    Loopback,
    /// Through a proxy that can fail.
    Proxy(Proxy),
    /// The first tenant's from another computer, over a cable that can lose packets.
    Cable(Network),
}

/// Both tenants, and everything around them.
pub(super) struct Place {
    pub(super) ledger: Ledger,
    pub(super) faulty: Agent,
    pub(super) spared: Agent,
    /// Where the agents run.
    pub(super) homes: [Home; 2],
    origins: [LedgerOrigin; 2],
    loads: Vec<Load>,
    secrets: Vec<String>,
    before: Held,
    hostiles: Option<Hostiles>,
    /// When the first fault began.
    faults_from: Option<Duration>,
    pub(super) stack: Stack,
    pub(super) way: Way,
}

impl Place {
    /// Agents reach the server through a proxy.
    pub(super) async fn start() -> Result<Self> {
        let proxy = Proxy::start().await?;
        let options = Options { public_port: Some(proxy.port()), ..Options::default() };
        Self::start_with(options, Way::Proxy(proxy)).await
    }

    /// The first tenant's agent runs on another computer.
    pub(super) async fn across(network: Network) -> Result<Self> {
        let names = Some([HERE, "endpoints.example"]);
        let address = Some(Ipv4Addr::UNSPECIFIED.into());
        let options = Options { names, address, ..Options::default() };
        Self::start_with(options, Way::Cable(network)).await
    }

    /// A server that is different.
    pub(super) async fn start_with(options: Options, way: Way) -> Result<Self> {
        let begun = Instant::now();
        let ledger = Ledger::new(move || begun.elapsed());
        let mut stack = Stack::start_with(Options { log: Some(LOG), ..options }).await?;
        if let Way::Proxy(proxy) = &way {
            proxy.forward_to(stack.https());
        }
        let keys = [stack.tenant("tenant-a").await?, stack.tenant("tenant-b").await?];
        let homes = [home(&stack, &keys[0], &way, 1)?, home(&stack, &keys[1], &way, 0)?];
        let ip = if matches!(way, Way::Cable(_)) { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let origins = [
            LedgerOrigin::start_at(ip, 'a', ledger.clone()).await?,
            LedgerOrigin::start_at(ip, 'b', ledger.clone()).await?,
        ];
        let before = stack.program().held()?;
        let secrets = keys.map(|key| key.secret).into_iter().chain([QUERY_SECRET.to_owned()]).collect();
        let (faulty, spared) = (expose(&homes, &origins, &way, 'a')?, expose(&homes, &origins, &way, 'b')?);
        let mut place = Self {
            ledger,
            faulty,
            spared,
            homes,
            origins,
            loads: Vec::new(),
            secrets,
            before,
            hostiles: None,
            faults_from: None,
            stack,
            way,
        };
        for mark in ['a', 'b'] {
            let hostname = place.bound(mark).await?;
            let visitor = Visitor::new(&place.stack, &hostname)?;
            place.loads.push(Load::start(mark, &visitor, &place.ledger));
        }
        place.carried(CARRIED_FIRST).await?;
        Ok(place)
    }

    /// Waits until the agent of `mark` has its URL, and writes down who has it. Returns the host name.
    pub(super) async fn bound(&mut self, mark: char) -> Result<String> {
        let agent = if mark == 'a' { &mut self.faulty } else { &mut self.spared };
        let event = agent.event("url_assigned", EVENTUALLY).await?;
        let instance =
            agent.seen().iter().find_map(|event| event["instance"].as_str()).context("no instance")?;
        self.ledger.own(format!("{mark} in epoch {}", event["epoch"]), instance.to_owned());
        Ok(event["hostname"].as_str().context("no host name")?.to_owned())
    }

    /// Starts another agent of the first tenant, in the place of the one that there is.
    pub(super) async fn replace_agent(&mut self) -> Result<Agent> {
        let next = expose(&self.homes, &self.origins, &self.way, 'a')?;
        let old = std::mem::replace(&mut self.faulty, next);
        self.bound('a').await?;
        // It is dropped soon, if it has not ended.
        self.ledger.killed(Killed::Agent('a'));
        Ok(old)
    }

    /// Ends the first tenant's agent as a power cut would.
    pub(super) async fn kill_agent(&mut self) -> Result<()> {
        self.faulty.program().kill().await?;
        self.ledger.killed(Killed::Agent('a'));
        Ok(())
    }

    /// Whoever comes now is taken in and served: an agent for another name, and a visitor.
    pub(super) async fn newcomers_are_served(&self) -> Result<()> {
        let mut agent = self.homes[0].http(&self.origins[0].port(), Some("newcomer"))?;
        let event = agent.event("url_assigned", EVENTUALLY).await?;
        let visitor = Visitor::new(&self.stack, event["hostname"].as_str().context("no host name")?)?;
        let answer = visitor.https().await?.get("/not/a/request").await?;
        anyhow::ensure!(answer.status() == http::StatusCode::BAD_REQUEST, "{}", answer.status());
        Ok(())
    }

    /// F29: from now on hostile agents and visitors of a third tenant are busy.
    pub(super) async fn hostiles_come(&mut self) -> Result<()> {
        self.hostiles = Some(Hostiles::come(&self.stack).await?);
        self.fault("hostile agents and visitors come");
        Ok(())
    }

    /// How the first tenant's upstream is from now on.
    pub(super) fn upstream_is(&self, mood: Mood) {
        self.origins[0].set_mood(mood);
    }

    /// The proxy between agents and server.
    pub(super) fn proxy(&self) -> Result<&Proxy> {
        let Way::Proxy(proxy) = &self.way else { anyhow::bail!("no proxy") };
        Ok(proxy)
    }

    /// The network between the first tenant's agent and the server.
    pub(super) fn network(&self) -> Result<&Network> {
        let Way::Cable(network) = &self.way else { anyhow::bail!("no network") };
        Ok(network)
    }

    /// Something goes wrong now.
    pub(super) fn fault(&mut self, what: &str) -> Duration {
        self.ledger.note(what);
        let now = self.ledger.now();
        self.faults_from.get_or_insert(now);
        now
    }

    /// The first tenant's agent must notice that its link is dead.
    pub(super) async fn noticed_by_agent(&mut self, since: Duration) -> Result<()> {
        self.faulty.event("disconnected", EVENTUALLY).await?;
        self.noticed("the agent says that its link is dead", since);
        Ok(())
    }

    /// Somebody has noticed what goes wrong since then.
    pub(super) fn noticed(&mut self, what: &str, since: Duration) {
        let took = self.ledger.now().saturating_sub(since);
        self.ledger.noticed(Noticed { what: what.to_owned(), took, within: DEAD });
    }

    /// Waits until the endpoint of `mark` has given a whole answer that its upstream began after `since`, and writes down how
    /// soon that was.
    pub(super) async fn serves_again(&self, mark: char, since: Duration, within: Duration) -> Result<()> {
        let answered = |asked: &Asked| match asked.told.as_slice() {
            [(at, Told::Complete)] if asked.mark == mark && asked.delivered_at >= Some(since) => Some(*at),
            _ => None,
        };
        let first = || self.ledger.books().requests.values().filter_map(answered).min();
        let what = format!("{mark} serves again");
        until(&what, EVENTUALLY, || std::future::ready(first().is_some())).await?;
        let took = first().context("an answer")?.saturating_sub(since);
        self.ledger.noticed(Noticed { what, took, within });
        Ok(())
    }

    /// Waits until so many more requests of each endpoint have ended.
    pub(super) async fn carried(&self, more: usize) -> Result<()> {
        for mark in ['a', 'b'] {
            self.carried_by(mark, more).await?;
        }
        Ok(())
    }

    /// The same, of one endpoint.
    pub(super) async fn carried_by(&self, mark: char, more: usize) -> Result<()> {
        // Those that take their time: faults are to find some on their way.
        let is_small = |asked: &Asked| matches!(&asked.answer, Some(it) if it.status == 200 && it.out_bytes <= SMALL_BYTES_MAX);
        let has_ended = |asked: &&Asked| asked.mark == mark && !asked.told.is_empty() && !is_small(asked);
        let ended = || self.ledger.books().requests.values().filter(has_ended).count();
        let enough = ended() + more;
        until("requests are carried", EVENT_WITHIN * 3, || std::future::ready(ended() >= enough)).await
    }

    /// Nothing is broken any more: what must hold now, and what must have held.
    pub(super) async fn judge(self) -> Result<()> {
        self.judge_by(USUAL).await
    }

    /// The same, after a fault of which less is promised.
    pub(super) async fn judge_by(mut self, bounds: Bounds) -> Result<()> {
        if let Some(hostiles) = self.hostiles.take() {
            hostiles.leave().await?;
        }
        self.ledger.heal();
        let healed = self.ledger.now();
        let mut content = Ok(());
        for load in std::mem::take(&mut self.loads) {
            content = content.and(load.content(CONTENT_WITHIN).await);
        }
        let books = self.ledger.books();
        let mut violations = books.violations(bounds);
        violations.extend(self.logs_agree(&books).await);
        let said = self.stack.logs();
        let lines_max = LOG_LINES_MAX + books.kills.len() * LOG_LINES_PER_KILL + AccessLogs::lines(&said);
        violations.extend(quiet(&said, &self.secrets, lines_max));
        for mark in ['a', 'b'] {
            violations.extend(quiet(&self.agents_log(mark), &self.secrets, usize::MAX));
        }
        if let (Some(from), true) = (self.faults_from, books.spared.contains(&'b')) {
            let usual = books.answer_times('b', Duration::ZERO..from);
            let during = books.answer_times('b', from..healed);
            let may = if full() { STANDSTILL_FULL } else { STANDSTILL };
            violations.extend(slower(&usual, &during, may));
            let small = |during| books.small_answer_times('b', during, SMALL_BYTES_MAX);
            let [before, meanwhile, after] =
                [Duration::ZERO..from, from..healed, healed..Duration::MAX].map(small);
            let (count, found) = (meanwhile.len(), slowed([&before, &after], &meanwhile, SLOWDOWN));
            violations
                .extend(found.map(|found| format!("of {count} small answers of the neighbour {found}")));
        }
        let log = books.log.join("\n");
        content.with_context(|| format!("{violations:#?}\n{log}"))?;
        assert!(violations.is_empty(), "{violations:#?}\n{log}");
        self.gives_back().await
    }

    /// Ends the agents, and with them the last streams; then the access logs must say what the books say.
    async fn logs_agree(&mut self, books: &Books) -> Vec<String> {
        let mut found = Vec::new();
        for agent in [&mut self.faulty, &mut self.spared] {
            let ended = agent.program().signal(Signal::INT);
            let ended = ended.and(agent.exit(EVENT_WITHIN).await);
            found.extend(ended.err().map(|error| format!("an agent does not end: {error:#}")));
        }
        let mut disagree = Vec::new();
        // The last lines are on their way.
        let agree = until("the access logs agree", EVENT_WITHIN, || {
            let mut logs = AccessLogs::default();
            logs.read_node(&['a', 'b'], &self.stack.logs());
            logs.read_agent('a', &self.agents_log('a'));
            logs.read_agent('b', &self.agents_log('b'));
            disagree = logs.violations(books);
            std::future::ready(disagree.is_empty())
        });
        drop(agree.await);
        found.extend(disagree);
        found
    }

    fn agents_log(&self, mark: char) -> String {
        let home = &self.homes[usize::from(mark != 'a')];
        std::fs::read_to_string(home.path().join(AGENT_LOG)).unwrap_or_default()
    }

    /// K6: with agents and visitors gone, the server holds what it held before.
    async fn gives_back(mut self) -> Result<()> {
        self.stack.program().gives_back(self.before, SLACK).await
    }
}

fn home(stack: &Stack, key: &Key, way: &Way, computer: usize) -> Result<Home> {
    let mut home = Home::new(stack, key)?;
    match way {
        Way::Loopback => {}
        Way::Proxy(proxy) => home.server = format!("{}:{}", stack.app_host(), proxy.port()),
        Way::Cable(network) => home.inside = network.namespaces().into_iter().nth(computer),
    }
    Ok(home)
}

fn expose(homes: &[Home; 2], origins: &[LedgerOrigin; 2], way: &Way, mark: char) -> Result<Agent> {
    let [(home, origin), (other_home, other_origin)] = [(&homes[0], &origins[0]), (&homes[1], &origins[1])];
    let (home, origin) = if mark == 'a' { (home, origin) } else { (other_home, other_origin) };
    let upstream = match way {
        Way::Cable(network) => format!("{}:{}", network.here_ip(), origin.port()),
        _ => origin.port(),
    };
    let log = home.path().join(AGENT_LOG);
    let log = log.to_str().context("no name for a log")?;
    home.adit(&[
        "http",
        &upstream,
        "--json",
        "--url",
        &mark.to_string(),
        "--log",
        log,
        "--log-level",
        "debug",
    ])
}
