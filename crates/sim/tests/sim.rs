//! Thousands of runs, each in a process of its own, so that a seed replays to the letter.
//!
//! `ADIT_SIM_SEED=17 cargo test -p adit-sim one_seed -- --nocapture` plays seed 17 and prints its log.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, prints for whoever replays, and its environment is its configuration"
)]

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, Output};
use std::thread;

use adit_sim::schedule::Fault;
use adit_sim::{Outcome, Planted};
use adit_testkit::ledger::Told;

/// Says which seed to play.
const SEED: &str = "ADIT_SIM_SEED";

/// Names a bug that the simulation is to have.
const PLANTED: &str = "ADIT_SIM_PLANTED";

/// Seeds in a run that a developer waits for, and in the full one.
const SEEDS: u64 = 300;
const SEEDS_FULL: u64 = 2_500;

/// Plays the seed of the environment, on a thread whose name makes its randomness that of the seed.
#[test]
fn one_seed() {
    let seed: u64 = env::var(SEED).map_or(1, |seed| seed.parse().unwrap());
    let planted = env::var(PLANTED).map(|name| Planted::named(&name).unwrap()).unwrap_or_default();
    let play = move || adit_sim::run(seed, planted).unwrap();
    let outcome = thread::Builder::new().name(format!("sim {seed}")).spawn(play).unwrap().join().unwrap();
    if env::var_os(SEED).is_some() {
        outcome.books.log.iter().for_each(|line| println!("{line}"));
        for line in told(&outcome) {
            println!("{TOLD}{line}");
        }
    }
    assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}, {:?}", outcome.faults);
}

/// A line of what happened begins like this.
const TOLD: &str = "told: ";

/// What happened in a run, one line for each time: faults, and what came of requests.
fn told(outcome: &Outcome) -> Vec<String> {
    let kind = |of: String| of.split(['(', ' ', ':']).next().unwrap().to_owned();
    let faults = outcome.faults.iter().map(|planned| match planned.fault {
        Fault::ControlPlane(mood) => format!("{mood:?}"),
        fault => kind(format!("{fault:?}")),
    });
    let asked = outcome.books.requests.values().flat_map(|asked| &asked.told);
    let ends = asked.map(|(_, told)| match told {
        Told::Error(status) => format!("answered-{status}"),
        told => kind(format!("{told:?}")),
    });
    let log = outcome.books.log.iter();
    let replaced = log.filter(|line| line.contains("replaced")).map(|_| "replaced".to_owned());
    let twice = outcome.books.requests.values().filter(|asked| asked.delivered.len() > 1);
    let panics = (0..outcome.planted_panics).map(|_| "panicked".to_owned());
    faults.chain(ends).chain(replaced).chain(twice.map(|_| "twice".to_owned())).chain(panics).collect()
}

/// The seeds are dealt out to several tests, which the runner plays at the same time.
macro_rules! every_seed_holds {
    ($($part:ident = $number:literal)+) => {$(
        #[test]
        fn $part() {
            seeds_hold($number);
        }
    )+};
}

every_seed_holds! {
    every_seed_holds_0 = 0
    every_seed_holds_1 = 1
    every_seed_holds_2 = 2
    every_seed_holds_3 = 3
    every_seed_holds_4 = 4
    every_seed_holds_5 = 5
}

/// How many tests there are.
const PARTS: u64 = 6;

fn seeds_hold(part: u64) {
    let full = env::var_os("ADIT_TEST_FULL").is_some_and(|value| value == "1");
    let last = if full { SEEDS_FULL } else { SEEDS };
    let (mut failed, mut happened) = (Vec::new(), BTreeMap::<String, u64>::new());
    for seed in (1..=last).filter(|seed| seed % PARTS == part) {
        let output = play(seed, None);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for told in text.lines().filter_map(|line| line.strip_prefix(TOLD)) {
            *happened.entry(told.to_owned()).or_default() += 1;
        }
        if !output.status.success() {
            failed.push(seed);
            if failed.len() < 3 {
                println!("seed {seed}: {}\n{}", verdict(&output), tail(&output));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "replay with {SEED}=N cargo test -p adit-sim one_seed -- --nocapture, N of {failed:?}"
    );
    println!("{happened:?}");
    let missing: Vec<_> = EACH_HAPPENS.iter().filter(|what| !happened.contains_key(**what)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened: {happened:?}");
}

/// In a sixth of the seeds, each of these: every kind of fault, and everything that a visitor may be told.
const EACH_HAPPENS: [&str; 19] = [
    "Crash",
    "Partition",
    "OneWay",
    "Stall",
    "Failing",
    "Silent",
    "Forgetful",
    "NodeClock",
    "ControlPlaneClock",
    "Takeover",
    "Panic",
    "panicked",
    "replaced",
    "twice",
    "Complete",
    "Cut",
    "answered-502",
    "answered-503",
    "answered-504",
];

/// The checks and the faults together find what is wrong, with no more seeds than a developer waits for.
#[test]
fn planted_bugs_are_found() {
    for ((bug, _), words) in Planted::ALL.iter().zip(["was given to", "was given to", "bytes looked whole"]) {
        let found = (1..=SEEDS).find(|seed| {
            let output = play(*seed, Some(bug));
            !output.status.success() && String::from_utf8_lossy(&output.stderr).contains(words)
        });
        println!("{bug}: seed {found:?}");
        assert!(found.is_some(), "{bug} was not found in {SEEDS} seeds");
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in [3, 14, 15] {
        let (first, second) = (play(seed, None), play(seed, None));
        let (first, second) = (log(&first), log(&second));
        assert!(first.len() > 100, "{first:?}");
        let differ = first.iter().zip(&second).find(|(one, other)| one != other);
        assert!(differ.is_none() && first.len() == second.len(), "seed {seed}: {differ:?}");
    }
    assert_ne!(log(&play(3, None)), log(&play(4, None)), "a seed that changes nothing");
}

/// This program again, with one seed, and perhaps a bug.
fn play(seed: u64, planted: Option<&str>) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "one_seed", "--nocapture"]).env(SEED, seed.to_string());
    command.envs(planted.map(|planted| (PLANTED, planted)));
    command.output().expect("this program starts again")
}

/// The lines that begin with a simulated time.
fn log(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let timed = |line: &&str| {
        line.starts_with(' ') && line.trim_start().starts_with(|first: char| first.is_ascii_digit())
    };
    text.lines().filter(timed).map(str::to_owned).collect()
}

fn tail(output: &Output) -> String {
    let lines = log(output);
    lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n")
}

fn verdict(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .skip_while(|line| !line.contains("tests/sim.rs"))
        .take(12)
        .collect::<Vec<_>>()
        .join("\n")
}
