//! F1 to F3 and F9 for streams that are open for long: every kind of them is open and has carried something when it happens.
//! Each is seen to be cut, soon, and what it has carried is the begin of what was sent.

mod kinds;
mod place;
mod speech;
mod streams;

use std::time::{Duration, Instant};

use adit_e2e::{Options, Pattern, Signal, full};
use adit_testkit::ledger::{End, Severed};
use anyhow::{Result, ensure};

use place::Place;
use speech::Course;
use streams::Held;

use super::network::{HARMLESS, lasts};
use super::place::SLACK;
use super::promises::{AGENT_BACK, CUT, DEAD, SERVER_BACK, busy};

/// How long a server that leaves waits for what is open.
const DRAIN: Duration = Duration::from_secs(6);

/// Streams that are told to end have ended, and a large body has come.
const ENDED_WITHIN: Duration = Duration::from_mins(1);

/// What each stream carries at least before it happens, and at most.
const CARRIED_BYTES: u64 = 3_000;
const CARRIED_BYTES_MORE: u64 = 60_000;

/// F1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_is_cut_when_the_agent_dies_and_new_ones_work_when_it_is_back() -> Result<()> {
    let mut place = Place::start().await?;
    let before = place.stack.program().held()?;
    for seed in 0..if full() { 100 } else { 4 } {
        let mut held = place.hold(seed).await?;
        let died = Instant::now();
        place.kill_agents().await?;
        held.go(Course::Fast);
        assert_cut(&held.severed(died, busy(CUT)).await?, busy(CUT));
        place.upstreams_see_it(seed).await?;
        let begun = Instant::now();
        place.start_agents()?;
        place.carries_again(begun, AGENT_BACK).await?;
    }
    assert!(!place.stack.logs().contains("panicked"));
    place.stack.program().gives_back(before, SLACK).await
}

/// F2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_is_cut_when_the_server_dies_and_new_ones_work_when_it_is_back() -> Result<()> {
    let mut place = Place::start().await?;
    for seed in 0..if full() { 50 } else { 4 } {
        let mut held = place.hold(seed).await?;
        let died = Instant::now();
        place.stack.program().kill().await?;
        held.go(Course::Fast);
        assert_cut(&held.severed(died, busy(CUT)).await?, busy(CUT));
        place.upstreams_see_it(seed).await?;
        place.stack.start_again().await?;
        place.carries_again(Instant::now(), SERVER_BACK).await?;
        place.renew_agents().await?;
    }
    assert!(!place.stack.logs().contains("panicked"));
    Ok(())
}

/// F3: who leaves in order serves what is open for as long as it may, and then cuts it so that it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_is_served_until_a_drain_is_over_and_cut_then() -> Result<()> {
    let mut place =
        Place::start_with(Options { drain_timeout: Some(DRAIN.as_secs()), ..Options::default() }).await?;
    for seed in 0..if full() { 10 } else { 1 } {
        let mut held = Held::open(&place, seed, CARRIED_BYTES).await?;
        let asked = Instant::now();
        place.stack.program().signal(Signal::TERM)?;
        held.goes_on(CARRIED_BYTES).await?;
        held.begins_to_end(DRAIN + busy(CUT)).await?;
        held.go(Course::Fast);
        let severed = held.severed(asked, DRAIN + busy(CUT)).await?;
        assert_cut(&severed, DRAIN + busy(CUT));
        let early: Vec<_> = severed.iter().filter(|severed| severed.took < DRAIN).collect();
        assert!(early.is_empty(), "{early:#?}");
        place.upstreams_see_it(seed).await?;
        assert!(place.stack.program().end(ENDED_WITHIN).await?.success());
        place.stack.start_again().await?;
        place.carries_again(Instant::now(), SERVER_BACK).await?;
        place.renew_agents().await?;
    }
    Ok(())
}

/// F9: nobody is told anything by the network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_is_cut_when_the_network_goes_silent() -> Result<()> {
    let mut place = Place::start().await?;
    let before = place.stack.program().held()?;
    for seed in 0..if full() { 10 } else { 1 } {
        let mut held = place.hold(seed).await?;
        let silent = Instant::now();
        place.proxy.set_silent(true);
        held.go(Course::Fast);
        assert_cut(&held.severed(silent, busy(DEAD)).await?, busy(DEAD));
        place.upstreams_see_it(seed).await?;
        place.proxy.set_silent(false);
        place.carries_again(Instant::now(), SERVER_BACK).await?;
        place.renew_agents().await?;
    }
    place.stack.program().gives_back(before, SLACK).await
}

/// F9, too short to be taken for death, and F24: who is silent for a moment loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_is_cut_by_a_short_silence() -> Result<()> {
    let mut place = Place::start().await?;
    let mut held = Held::open(&place, 0, CARRIED_BYTES).await?;
    for seconds in if full() { [1, HARMLESS].as_slice() } else { &[HARMLESS] } {
        place.proxy.set_silent(true);
        lasts(*seconds).await;
        place.proxy.set_silent(false);
        held.goes_on(CARRIED_BYTES).await?;
        place.stack.program().signal(Signal::STOP)?;
        lasts(*seconds).await;
        place.stack.program().signal(Signal::CONT)?;
        held.goes_on(CARRIED_BYTES).await?;
    }
    held.go(Course::End);
    assert_whole(&held.severed(Instant::now(), ENDED_WITHIN).await?);
    Ok(())
}

/// What the tests above say would be found if it were not so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_in_order_or_stays_silent_is_found() -> Result<()> {
    let place = Place::start().await?;
    let mut held = Held::open(&place, 1, CARRIED_BYTES).await?;
    held.go(Course::Still);
    let silent = held.severed(Instant::now(), Duration::from_millis(200)).await?;
    held.go(Course::End);
    let whole = held.severed(Instant::now(), ENDED_WITHIN).await?;
    for (silent, whole) in silent.iter().zip(&whole) {
        assert_eq!((&silent.end, &whole.end), (&End::Silent, &End::Whole), "{}", silent.what);
        for found in [silent, whole] {
            assert!(found.violation(DEAD).is_some(), "{found:?}");
        }
    }
    assert_eq!((silent.len(), whole.len()), (8, 8));
    Ok(())
}

impl Place {
    /// Streams that have carried something, one time as they talk, and one time after they have fallen silent.
    async fn hold(&self, seed: u64) -> Result<Held> {
        let more = Pattern::new(seed).below(CARRIED_BYTES_MORE);
        let held = Held::open(self, seed, CARRIED_BYTES + more).await?;
        if seed % 2 == 1 {
            held.go(Course::Still);
        }
        Ok(held)
    }

    /// Agents that have not waited for a server yet: those whose sessions do not live for a minute take longer and longer
    /// pauses.
    async fn renew_agents(&mut self) -> Result<()> {
        self.kill_agents().await?;
        self.start_agents()?;
        self.bound().await?;
        Ok(())
    }

    /// An upload and a call that were cut are cut for the services, too.
    async fn upstreams_see_it(&self, seed: u64) -> Result<()> {
        let upload = self.origin.upload("the upload has ended", |upload| upload.complete.is_some()).await?;
        ensure!(upload.complete == Some(false) && !upload.differs, "{upload:?}");
        let calls = self.callee.calls("the call is cut", |calls| calls.cancelled > seed).await?;
        ensure!(calls.cancelled == seed + 1, "{calls:?}");
        Ok(())
    }

    /// New streams of every kind carry, so soon, and come to their end.
    async fn carries_again(&mut self, begun: Instant, promised: Duration) -> Result<()> {
        self.bound().await?;
        let mut held = Held::open(self, 1, 1).await?;
        let took = begun.elapsed();
        ensure!(took <= busy(promised), "new streams carry only after {took:?}");
        held.go(Course::End);
        assert_whole(&held.severed(Instant::now(), ENDED_WITHIN).await?);
        Ok(())
    }
}

fn assert_whole(ended: &[Severed]) {
    let is_whole = |ended: &&Severed| ended.end == End::Whole && ended.wrong.is_none();
    assert!(ended.iter().all(|ended| is_whole(&ended)), "{ended:#?}");
}

fn assert_cut(severed: &[Severed], within: Duration) {
    let violations: Vec<_> = severed.iter().filter_map(|severed| severed.violation(within)).collect();
    assert!(violations.is_empty(), "{violations:#?}\n{severed:#?}");
}
