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

use std::env;
use std::process::{Command, Output};
use std::thread;

/// Says which seed to play.
const SEED: &str = "ADIT_SIM_SEED";

/// Seeds in a run that a developer waits for, and in the full one.
const SEEDS: u64 = 300;
const SEEDS_FULL: u64 = 2_500;

/// Plays the seed of the environment, on a thread whose name makes its randomness that of the seed.
#[test]
fn one_seed() {
    let seed: u64 = env::var(SEED).map_or(1, |seed| seed.parse().unwrap());
    let play = move || adit_sim::run(seed).unwrap();
    let outcome = thread::Builder::new().name(format!("sim {seed}")).spawn(play).unwrap().join().unwrap();
    if env::var_os(SEED).is_some() {
        outcome.books.log.iter().for_each(|line| println!("{line}"));
    }
    assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}, {:?}", outcome.faults);
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
    let mut failed = Vec::new();
    for seed in (1..=last).filter(|seed| seed % PARTS == part) {
        let output = play(seed);
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
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in [3, 14, 15] {
        let (first, second) = (play(seed), play(seed));
        let (first, second) = (log(&first), log(&second));
        assert!(first.len() > 100, "{first:?}");
        let differ = first.iter().zip(&second).find(|(one, other)| one != other);
        assert!(differ.is_none() && first.len() == second.len(), "seed {seed}: {differ:?}");
    }
    assert_ne!(log(&play(3)), log(&play(4)), "a seed that changes nothing");
}

/// This program again, with one seed.
fn play(seed: u64) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "one_seed", "--nocapture"]).env(SEED, seed.to_string());
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
        .skip_while(|line| !line.contains("panicked"))
        .take(12)
        .collect::<Vec<_>>()
        .join("\n")
}
