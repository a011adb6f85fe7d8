//! Which faults happen when, from a seed.

use std::time::Duration;

use crate::authority::Mood;
use crate::dice::Dice;

/// Something that goes wrong, and is mended later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A host's program is killed, and started again at the end.
    Crash(&'static str),
    /// Nothing passes between these two; what was sent is lost for good.
    Partition(&'static str, &'static str),
    /// Nothing passes from the first to the second.
    OneWay(&'static str, &'static str),
    /// Nothing passes between these two, and everything arrives at the end.
    Stall(&'static str, &'static str),
    /// The control plane is not itself.
    ControlPlane(Mood),
    /// The node's wall clock is so many seconds ahead.
    NodeClock(i64),
    /// The control plane's wall clock is so many seconds ahead.
    ControlPlaneClock(i64),
    /// A second copy of the agent of `a` starts on another host while the first cannot reach the node. It stays.
    Takeover,
    /// A mistake in a program: whoever reads there next panics.
    Panic(Reader),
}

/// Who reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// The node, from a visitor.
    Visitor,
    /// The node, from an agent.
    Agent,
    /// The agent of `a`, from the node.
    Link,
    /// The agent of `a`, from its upstream.
    Upstream,
    /// The node, while it asks for an endpoint for an agent.
    Claim,
}

/// A fault, when it begins and when it is mended.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// When it begins.
    pub from: Duration,
    /// When it is mended.
    pub until: Duration,
    /// What it is.
    pub fault: Fault,
}

/// Each agent and the origin behind it.
const PAIRS: [(&str, &str); 2] = [("agent-a", "origin-a"), ("agent-b", "origin-b")];

/// When the first fault begins at the earliest, in milliseconds: every endpoint has been bound once.
const FIRST_MS: u64 = 3_000;

/// When the last fault begins at the latest, in milliseconds.
const LAST_MS: u64 = 40_000;

/// The faults of a seed, by their beginning. They may overlap.
pub(crate) fn plan(dice: &mut Dice) -> Vec<Planned> {
    let count = 2 + dice.below(4);
    let mut planned: Vec<_> = (0..count).map(|_| one(dice)).collect();
    planned.sort_by_key(|planned| planned.from);
    // One copy more is enough.
    let mut copies = 0;
    planned.retain(|planned| {
        copies += u32::from(planned.fault == Fault::Takeover);
        planned.fault != Fault::Takeover || copies == 1
    });
    planned
}

fn one(dice: &mut Dice) -> Planned {
    let from = dice.millis(FIRST_MS, LAST_MS);
    // Mostly short, and sometimes longer than a dead link takes to be noticed.
    let lasts = if dice.one_in(3) { dice.millis(14_000, 35_000) } else { dice.millis(100, 6_000) };
    Planned { from, until: from + lasts, fault: fault(dice) }
}

fn fault(dice: &mut Dice) -> Fault {
    let (agent, origin) = dice.pick(PAIRS);
    let seconds = dice.pick([-3_600, 3_600, -86_400, 86_400, 400 * 86_400, 90]);
    match dice.below(18) {
        0 | 1 => Fault::Crash(agent),
        2 | 3 => Fault::Crash("node"),
        4 => Fault::Crash(origin),
        5 => Fault::Partition(agent, "node"),
        // Lost for good would be 30 minutes of silence: the simulated TCP has no keepalive.
        6 => Fault::Stall(agent, origin),
        7 => Fault::OneWay(agent, "node"),
        8 => Fault::OneWay("node", agent),
        9 => Fault::Stall(agent, "node"),
        10 | 14 | 15 => Fault::ControlPlane(dice.pick([Mood::Failing, Mood::Silent, Mood::Forgetful])),
        11 => Fault::NodeClock(seconds),
        12 => Fault::ControlPlaneClock(seconds),
        13 => Fault::Takeover,
        _ => Fault::Panic(dice.pick([
            Reader::Visitor,
            Reader::Agent,
            Reader::Link,
            Reader::Upstream,
            Reader::Claim,
        ])),
    }
}
