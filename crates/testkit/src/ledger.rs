//! Ledgers of a run with faults: what everyone saw, and what must hold of it.
//!
//! Visitors write down what they were told and origins what arrived; the checks are pure functions over that, each with a
//! test in which it fires. What holds of every request is checked in [`Books::violations`]; beside it stand the checks of
//! what a process holds ([`Held`]), says ([`quiet`]), logs of each request ([`AccessLogs`]), bills ([`Bill`]) and keeps ([`Kept`]), of how fast it is
//! ([`slowed`], [`slower`]), and of how the long streams end that are open when it dies ([`Severed`]).

mod access;
mod bill;
mod held;
mod kept;
mod quiet;
mod severed;
mod speed;

pub use access::{AccessLogs, Answer, Killed};
pub use bill::Bill;
pub use held::{Held, Slack};
pub use kept::Kept;
pub use quiet::quiet;
pub use severed::{End, Severed};
pub use speed::{Slowdown, slowed, slower};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a visitor was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// The whole response, byte by byte what the origin gives to this request.
    Complete,
    /// An error of Adit's own, with its code.
    Error(u16),
    /// The connection broke before the response's end.
    Cut,
    /// Something that nobody may be told: why.
    Wrong(String),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose endpoint.
    pub mark: char,
    /// Whether it may be delivered twice.
    pub safe: bool,
    /// When it was sent.
    pub at: Duration,
    /// How often its outcome was written down, and the last one, with its time.
    pub told: Vec<(Duration, Told)>,
    /// At which origins it arrived.
    pub delivered: Vec<char>,
    /// When it arrived last.
    pub delivered_at: Option<Duration>,
    /// What an origin took for the whole of its body, and was not.
    pub mistaken: Option<String>,
    /// What the visitor saw of its answer, if there was one.
    pub answer: Option<Answer>,
}

/// The ledgers of visitors, origins and control plane, in one place. Clones are the same ledger.
#[derive(Clone)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    clock: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// What is written down.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Every request, by its number.
    pub requests: BTreeMap<u64, Asked>,
    /// Who was given what belongs to one only: an epoch of an endpoint.
    pub owners: BTreeMap<String, Vec<String>>,
    /// What happened, in order.
    pub log: Vec<String>,
    /// When the last fault was over.
    pub healed: Option<Duration>,
    /// Endpoints that no fault was to reach.
    pub spared: Vec<char>,
    /// When another agent took over an endpoint last.
    pub taken_over: BTreeMap<char, Duration>,
    /// How long it took somebody to say what was wrong.
    pub noticed: Vec<Noticed>,
    /// Who was killed, and when that was done.
    pub kills: Vec<(Killed, Duration)>,
}

/// Something that had to be said within a time.
#[derive(Clone, Debug)]
pub struct Noticed {
    /// What.
    pub what: String,
    /// How long it took.
    pub took: Duration,
    /// How long it may take.
    pub within: Duration,
}

/// A takeover is noted when the old agent hears of it; its requests may have been cut this much earlier.
const TAKEOVER_SETTLES: Duration = Duration::from_secs(1);

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the last fault's end until every endpoint serves again.
    pub back_within: Duration,
    /// From a request to its outcome.
    pub told_within: Duration,
}

impl Ledger {
    /// An empty ledger; `clock` says how long the run has lasted.
    #[must_use]
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { books: Arc::default(), clock: Arc::new(clock) }
    }

    /// Writes a line into the log, with the time.
    pub fn note(&self, line: impl AsRef<str>) {
        self.note_at((self.clock)(), line);
    }

    /// The same where the clock is not at hand.
    pub fn note_at(&self, at: Duration, line: impl AsRef<str>) {
        let line = format!("{:>7} {}", at.as_millis(), line.as_ref());
        self.write(|books| books.log.push(line));
    }

    /// A visitor sends a request and gets its number.
    #[must_use]
    pub fn ask(&self, mark: char, safe: bool) -> u64 {
        let at = (self.clock)();
        let (told, delivered) = (Vec::new(), Vec::new());
        let (delivered_at, mistaken, answer) = (None, None, None);
        let asked = Asked { mark, safe, at, told, delivered, delivered_at, mistaken, answer };
        self.write(|books| {
            let id = books.requests.len() as u64;
            books.requests.insert(id, asked);
            id
        })
    }

    /// A visitor was told an outcome.
    pub fn tell(&self, id: u64, told: Told) {
        self.note(format!("request {id} {told:?}"));
        let at = (self.clock)();
        self.change(id, |asked| asked.told.push((at, told)));
    }

    /// What a visitor saw of an answer, before its outcome is told.
    pub fn answered(&self, id: u64, answer: Answer) {
        self.change(id, |asked| asked.answer = Some(answer));
    }

    /// Somebody has been killed: the end of the log is missing.
    pub fn killed(&self, whose: Killed) {
        let now = (self.clock)();
        self.write(|books| books.kills.push((whose, now)));
    }

    /// A request arrived at the origin of `mark`.
    pub fn deliver(&self, id: u64, mark: char) {
        self.note(format!("request {id} arrives at {mark}"));
        let at = (self.clock)();
        self.change(id, |asked| {
            asked.delivered.push(mark);
            asked.delivered_at = Some(at);
        });
    }

    /// A body ended in order at an origin, and is not what was sent.
    pub fn mistook(&self, id: u64, what: String) {
        self.change(id, |asked| asked.mistaken = Some(what));
    }

    /// Something that belongs to one only was given to `owner`.
    pub fn own(&self, what: String, owner: String) {
        self.write(|books| books.owners.entry(what).or_default().push(owner));
    }

    /// From now on nothing is broken.
    pub fn heal(&self) {
        self.heal_at((self.clock)());
    }

    /// The same where the clock is not at hand.
    pub fn heal_at(&self, at: Duration) {
        self.write(|books| books.healed = Some(at));
    }

    /// Another agent takes over the endpoint of `mark` now: what the old one has in flight is cut.
    pub fn taken_over(&self, mark: char) {
        let now = (self.clock)();
        self.write(|books| {
            books.taken_over.insert(mark, now);
        });
    }

    /// Something that had to be said within a time has been said.
    pub fn noticed(&self, noticed: Noticed) {
        self.note(format!("{} after {:?}", noticed.what, noticed.took));
        self.write(|books| books.noticed.push(noticed));
    }

    /// No fault is to reach the endpoint of `mark`.
    pub fn spare(&self, mark: char) {
        self.write(|books| books.spared.push(mark));
    }

    /// When the last fault was over, if it is.
    #[must_use]
    pub fn healed(&self) -> Option<Duration> {
        self.write(|books| books.healed)
    }

    /// How long the run has lasted.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// A copy of everything.
    #[must_use]
    pub fn books(&self) -> Books {
        self.write(|books| books.clone())
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Asked)) {
        self.write(|books| books.requests.get_mut(&id).map(change));
    }

    fn write<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        change(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Asked {
    /// Whether its outcome is the whole response.
    fn is_complete(&self) -> bool {
        matches!(self.told.last(), Some((_, Told::Complete)))
    }
}

impl Books {
    /// Everything that must hold, and does not.
    #[must_use]
    pub fn violations(&self, bounds: Bounds) -> Vec<String> {
        let mut found = Vec::new();
        for (id, asked) in &self.requests {
            let checks = [
                outcome(asked, bounds),
                whole(asked),
                no_misdelivery(asked),
                at_most_once(asked),
                honest(asked),
            ];
            found.extend(checks.into_iter().flatten().map(|what| format!("request {id}: {what}")));
        }
        found.extend(self.one_owner());
        found.extend(self.noticed.iter().filter_map(honest_in_time));
        found.extend(self.spared_a_fault());
        let marks: BTreeSet<char> = self.requests.values().map(|asked| asked.mark).collect();
        found.extend(marks.into_iter().filter_map(|mark| self.back_again(mark, bounds)));
        found
    }

    /// How long the whole answers took that the endpoint of `mark` gave to requests of this time.
    #[must_use]
    pub fn answer_times(&self, mark: char, during: Range<Duration>) -> Vec<Duration> {
        self.times(mark, during, |_| true)
    }

    /// The same, of answers of at most so many bytes.
    #[must_use]
    pub fn small_answer_times(&self, mark: char, during: Range<Duration>, bytes_max: u64) -> Vec<Duration> {
        self.times(mark, during, |answer| answer.is_some_and(|answer| answer.out_bytes <= bytes_max))
    }

    fn times(
        &self,
        mark: char,
        during: Range<Duration>,
        counts: impl Fn(Option<&Answer>) -> bool,
    ) -> Vec<Duration> {
        let asked = self.requests.values().filter(|asked| asked.mark == mark && during.contains(&asked.at));
        let whole = asked.filter(|asked| counts(asked.answer.as_ref())).filter_map(|asked| {
            match asked.told.as_slice() {
                [(at, Told::Complete)] => Some(at.saturating_sub(asked.at)),
                _ => None,
            }
        });
        whole.collect()
    }

    /// What belongs to one only has one owner, however often it is told so.
    fn one_owner(&self) -> Option<String> {
        let shared = |owners: &Vec<String>| owners.iter().any(|owner| Some(owner) != owners.first());
        let (what, owners) = self.owners.iter().find(|(_, owners)| shared(owners))?;
        Some(format!("{what} was given to {owners:?}"))
    }

    /// K7: a fault reaches nobody but those it is meant for.
    fn spared_a_fault(&self) -> Option<String> {
        let hit = |(_, asked): &(&u64, &Asked)| {
            self.spared.contains(&asked.mark) && asked.told.iter().any(|(_, told)| *told != Told::Complete)
        };
        let (id, asked) = self.requests.iter().find(hit)?;
        Some(format!("request {id} of {}, which no fault was to reach, ended {:?}", asked.mark, asked.told))
    }

    /// K5: once everything is healed, an endpoint serves within the bound, and goes on serving.
    fn back_again(&self, mark: char, bounds: Bounds) -> Option<String> {
        let healed = self.healed?;
        let told = self.requests.values().filter(|asked| asked.mark == mark && asked.at >= healed);
        let told: Vec<_> = told.filter(|asked| !self.was_cut_by_takeover(asked)).collect();
        let served = told.iter().copied().filter(|asked| asked.is_complete());
        let Some(first) = served.min_by_key(|asked| asked.delivered_at) else {
            return Some(format!("{mark} never served again after everything was healed"));
        };
        let at = first.told.last().map_or(first.at, |(at, _)| *at);
        if at > healed + bounds.back_within {
            return Some(format!(
                "{mark} served again only {:?} after everything was healed",
                at.saturating_sub(healed)
            ));
        }
        // Who asked earlier may have been told that nobody is there before anybody was.
        let after = told.iter().filter(|asked| Some(asked.at) >= first.delivered_at);
        let broken = after.filter(|asked| asked.told.last().is_some() && !asked.is_complete()).count();
        (broken > 0).then(|| format!("{mark} served again, and then broke {broken} requests"))
    }

    /// Whether it broke because another agent took over its endpoint. An agent that was away while everything was healed
    /// may come back later, and take over then.
    fn was_cut_by_takeover(&self, asked: &Asked) -> bool {
        let Some((told, outcome)) = asked.told.last() else { return false };
        let cuts = |moved: &Duration| asked.at <= *moved && *told + TAKEOVER_SETTLES >= *moved;
        *outcome != Told::Complete && self.taken_over.get(&asked.mark).is_some_and(cuts)
    }
}

/// K1: every request ends exactly once, in time, and never with a part that looks whole.
fn outcome(asked: &Asked, bounds: Bounds) -> Option<String> {
    match asked.told.as_slice() {
        [] => Some("has no outcome".to_owned()),
        [(_, Told::Wrong(why))] => Some(why.clone()),
        [(_, Told::Complete)] if asked.delivered.is_empty() => {
            Some("complete, and no origin saw it".to_owned())
        }
        [(at, _)] if *at > asked.at + bounds.told_within => {
            Some(format!("took {:?}", at.saturating_sub(asked.at)))
        }
        [_] => None,
        more => Some(format!("has {} outcomes", more.len())),
    }
}

/// K1, at the other end: a part of a request never looks whole.
fn whole(asked: &Asked) -> Option<String> {
    asked.mistaken.as_ref().map(|what| format!("an origin took for the whole: {what}"))
}

/// K2: a request reaches its own tenant's origin only.
fn no_misdelivery(asked: &Asked) -> Option<String> {
    let stray = asked.delivered.iter().find(|mark| **mark != asked.mark)?;
    Some(format!("is for {} and arrived at {stray}", asked.mark))
}

/// K3: what is not safe arrives at most once, what is, at most twice.
fn at_most_once(asked: &Asked) -> Option<String> {
    let most = if asked.safe { 2 } else { 1 };
    let times = asked.delivered.len();
    (times > most).then(|| format!("arrived {times} times"))
}

/// K9: what is wrong is said, and soon.
fn honest_in_time(noticed: &Noticed) -> Option<String> {
    let Noticed { what, took, within } = noticed;
    (took > within).then(|| format!("{what} only after {took:?}"))
}

/// K9: who is told that nobody is there has not been heard by anybody.
fn honest(asked: &Asked) -> Option<String> {
    let nobody_there = matches!(asked.told.last(), Some((_, Told::Error(503))));
    (nobody_there && !asked.safe && !asked.delivered.is_empty())
        .then(|| "was told 503 and had arrived".to_owned())
}

#[cfg(test)]
mod tests;
