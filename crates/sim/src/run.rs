//! One run from one seed.

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use turmoil::{Builder, Sim};

use crate::authority::Mood;
use crate::bounds::BOUNDS;
use crate::cast::{Cast, MARKS};
use crate::dice::Dice;
use crate::fuse::{Fuse, Fuses};
use crate::origin;
use crate::planted::Planted;
use crate::schedule::{Fault, Planned, Reader, plan};
use crate::visitor::Visitor;
use adit_testkit::ledger::Books;

/// How far the simulation goes at a time. Coarse enough that a run takes a fraction of a second.
const TICK: Duration = Duration::from_millis(10);

/// Beyond every run's end.
const RUN_MAX: Duration = Duration::from_mins(15);

/// Visitors of each endpoint.
const VISITORS: usize = 2;

/// Every host of ours.
const HOSTS: [&str; 6] = ["node", "agent-a", "agent-b", "spare-a", "origin-a", "origin-b"];

/// How many panics there were in this process.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// What a run was like.
#[derive(Debug)]
pub struct Outcome {
    /// The faults, as planned.
    pub faults: Vec<Planned>,
    /// What everyone saw.
    pub books: Books,
    /// Everything that must hold, and did not.
    pub violations: Vec<String>,
    /// How many tasks panicked that were to.
    pub planted_panics: u64,
}

/// Plays one seed to its end.
pub fn run(seed: u64, planted: Planted) -> Result<Outcome> {
    static HOOK: Once = Once::new();
    HOOK.call_once(count_panics);
    let (panics_before, burned_before) = (PANICS.load(Ordering::Relaxed), Fuse::burned());
    let mut dice = Dice::new(seed);
    let faults = plan(&mut dice);
    let stage = Stage::set(seed, &mut dice, planted)?;
    let cast = stage.cast.clone();
    let ended = stage.play(&faults);
    let books = cast.ledger.books();
    let mut violations = books.violations(BOUNDS);
    if let Err(error) = ended {
        violations.push(format!("the simulation did not end: {error}"));
    }
    let panics = PANICS.load(Ordering::Relaxed) - panics_before;
    let planted_panics = Fuse::burned() - burned_before;
    if panics != planted_panics {
        violations.push(format!("{panics} tasks panicked, where {planted_panics} were to"));
    }
    Ok(Outcome { faults, books, violations, planted_panics })
}

fn count_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        told(panic);
    }));
}

/// The simulation with everyone in it.
struct Stage {
    sim: Sim<'static>,
    cast: Cast,
    /// Whether the copy of the agent of `a` is to run.
    spare: Arc<AtomicBool>,
}

impl Stage {
    fn set(seed: u64, dice: &mut Dice, planted: Planted) -> Result<Self> {
        let mut builder = Builder::new();
        builder.rng_seed(seed).tick_duration(TICK).simulation_duration(RUN_MAX).tcp_capacity(4096);
        builder.min_message_latency(Duration::from_millis(1)).max_message_latency(Duration::from_millis(40));
        let mut stage = Self { sim: builder.build(), cast: Cast::new(planted)?, spare: Arc::default() };
        stage.hosts();
        for mark in MARKS {
            for number in 0..VISITORS {
                let visitor = Visitor::new(mark, dice.fork(), stage.cast.ledger.clone());
                stage.sim.client(format!("visitor-{mark}{number}"), async move {
                    visitor.visit().await;
                    Ok(())
                });
            }
        }
        Ok(stage)
    }

    fn hosts(&mut self) {
        let cast = self.cast.clone();
        self.sim.host("node", move || {
            let cast = cast.clone();
            async move { Ok(cast.node().await?) }
        });
        for (mark, name) in [('a', "agent-a"), ('b', "agent-b")] {
            let cast = self.cast.clone();
            self.sim.host(name, move || {
                let cast = cast.clone();
                async move { Ok(cast.agent(mark, name).await?) }
            });
        }
        let (cast, spare) = (self.cast.clone(), Arc::clone(&self.spare));
        self.sim.host("spare-a", move || {
            let (cast, runs) = (cast.clone(), spare.load(Ordering::Relaxed));
            async move { if runs { Ok(cast.agent('a', "spare-a").await?) } else { Ok(()) } }
        });
        for (mark, name) in [('a', "origin-a"), ('b', "origin-b")] {
            let (ledger, planted) = (self.cast.ledger.clone(), self.cast.planted);
            self.sim.host(name, move || {
                let ledger = ledger.clone();
                async move { Ok(origin::serve(mark, ledger, planted).await?) }
            });
        }
    }

    /// Steps through the plan, mends everything, and goes on until the visitors are content.
    fn play(mut self, faults: &[Planned]) -> Result<()> {
        let mut turns: Vec<_> = faults.iter().map(|planned| (planned.from, true, planned.fault)).collect();
        turns.extend(faults.iter().map(|planned| (planned.until, false, planned.fault)));
        turns.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        loop {
            while let Some((_, begins, fault)) = turns.pop_if(|(at, ..)| *at <= self.sim.elapsed()) {
                self.note(&format!("{} {fault:?}", if begins { "begins:" } else { "mended:" }));
                if begins {
                    self.begin(fault);
                } else {
                    self.mend(fault);
                }
                if turns.is_empty() {
                    self.heal();
                }
            }
            if self.sim.step().map_err(|error| anyhow!("{error}"))? {
                return Ok(());
            }
        }
    }

    fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(host) => self.sim.crash(host),
            Fault::Partition(one, other) => self.sim.partition(one, other),
            Fault::OneWay(from, to) => self.sim.partition_oneway(from, to),
            Fault::Stall(one, other) => self.sim.hold(one, other),
            Fault::ControlPlane(mood) => self.cast.authority.set_mood(mood),
            Fault::NodeClock(ahead) => self.cast.node_clock.set_ahead(ahead),
            Fault::ControlPlaneClock(ahead) => self.cast.control_plane_clock.set_ahead(ahead),
            Fault::Takeover => {
                self.sim.partition("agent-a", "node");
                self.spare.store(true, Ordering::Relaxed);
                self.sim.bounce("spare-a");
            }
            Fault::Panic(reader) => self.fuse(reader).arm(),
        }
    }

    fn fuse(&self, reader: Reader) -> &Fuse {
        let Fuses { visitors, agents, link, upstream, claims } = &self.cast.fuses;
        match reader {
            Reader::Visitor => visitors,
            Reader::Agent => agents,
            Reader::Link => link,
            Reader::Upstream => upstream,
            Reader::Claim => claims,
        }
    }

    fn mend(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(host) => self.start(host),
            Fault::Partition(one, other) | Fault::OneWay(one, other) => self.sim.repair(one, other),
            Fault::Stall(one, other) => self.sim.release(one, other),
            Fault::ControlPlane(_) => self.cast.authority.set_mood(Mood::Well),
            Fault::NodeClock(_) => self.cast.node_clock.set_ahead(0),
            Fault::ControlPlaneClock(_) => self.cast.control_plane_clock.set_ahead(0),
            Fault::Takeover => self.sim.repair("agent-a", "node"),
            Fault::Panic(reader) => self.fuse(reader).disarm(),
        }
    }

    /// Starts a host again, unless that has been done already.
    fn start(&mut self, host: &str) {
        if !self.sim.is_host_running(host) {
            self.sim.bounce(host);
        }
    }

    /// Faults overlap: whatever mending one of them has left is mended now.
    fn heal(&mut self) {
        for (at, one) in HOSTS.into_iter().enumerate() {
            for other in HOSTS.into_iter().skip(at + 1) {
                self.sim.release(one, other);
                self.sim.repair(one, other);
            }
        }
        self.cast.authority.set_mood(Mood::Well);
        self.cast.node_clock.set_ahead(0);
        self.cast.control_plane_clock.set_ahead(0);
        for host in ["node", "origin-a", "origin-b", "agent-b"] {
            self.start(host);
        }
        // An agent that was replaced has ended for good, and its copy serves.
        if !self.spare.load(Ordering::Relaxed) {
            self.start("agent-a");
        }
        self.cast.ledger.heal_at(self.sim.elapsed());
        self.note("everything is healed");
    }

    fn note(&self, line: &str) {
        self.cast.ledger.note_at(self.sim.elapsed(), line);
    }
}
