//! The network between agents and server fails: silent, in one direction only, slow to say so, and cut.

use std::future::ready;
use std::time::Duration;

use adit_e2e::{Lost, Network, Signal, full, until};
use anyhow::Result;

use super::place::{EVENTUALLY, Place};
use super::promises::{AFTER_LONG, SILENT};

/// F9: neither side is told that the network is gone. Short silences are waited out by the kernel, long ones noticed.
#[tokio::test]
async fn packets_are_lost_between_agent_and_server() -> Result<()> {
    let mut place = Place::across(Network::enter()?).await?;
    place.ledger.spare('b');
    for seconds in if full() { [1, 5, 30, 120].as_slice() } else { &[2] } {
        place.carried(6).await?;
        place.lose_for(Lost::Both, *seconds).await?;
        place.carried_by('a', 3).await?;
    }
    place.carried(6).await?;
    let since = place.lose(Lost::Both, "packets are lost until that is noticed")?;
    place.noticed_by_agent(since).await?;
    place.network()?.heal()?;
    place.bound('a').await?;
    place.judge_by(SILENT).await
}

/// F10: what one side says arrives, and what the other says does not. Both must find out.
#[tokio::test]
async fn packets_are_lost_in_one_direction() -> Result<()> {
    let mut place = Place::across(Network::enter()?).await?;
    place.ledger.spare('b');
    for lost in [Lost::Coming, Lost::Going].repeat(if full() { 4 } else { 1 }) {
        place.carried(6).await?;
        let since = place.lose(lost, &format!("packets are lost: {lost:?}"))?;
        place.noticed_by_agent(since).await?;
        place.network()?.heal()?;
        place.ledger.note("no packet is lost any more");
        place.bound('a').await?;
    }
    place.judge_by(SILENT).await
}

/// F10, for who owns the endpoint: an agent that cannot be heard, and hears, is replaced. It does not fight back.
#[tokio::test]
async fn an_agent_behind_a_half_dead_network_is_replaced_for_good() -> Result<()> {
    let mut place = Place::across(Network::enter()?).await?;
    place.ledger.spare('b');
    place.carried(6).await?;
    place.lose(Lost::Coming, "the agent cannot be heard")?;
    // Another copy, with the same key, on a computer that is heard.
    let [here, _] = place.network()?.namespaces();
    place.homes[0].inside = Some(here);
    let mut old = place.replace_agent().await?;
    place.ledger.taken_over('a');
    place.carried(6).await?;
    place.network()?.heal()?;
    place.ledger.note("the first agent is heard again");
    assert_eq!(old.exit(EVENTUALLY).await?, 5);
    assert!(old.has_said("replaced"), "{:?}", old.seen());
    place.carried(6).await?;
    place.judge_by(SILENT).await
}

/// F11: connections through something that forgets them. Both sides notice, and hold nothing for the old ones.
#[tokio::test]
async fn the_network_goes_silent_and_accepts_new_connections() -> Result<()> {
    let mut place = Place::start().await?;
    let seconds: &[u64] = if full() { &[1, 5, 30, 120] } else { &[1, 20] };
    for seconds in seconds {
        place.carried(6).await?;
        place.proxy()?.set_silent(true);
        place.fault(&format!("silent for {seconds} s"));
        lasts(*seconds).await;
        place.proxy()?.set_silent(false);
        place.ledger.note("no longer silent");
    }
    place.judge_by(AFTER_LONG).await
}

/// F11, where not even the kernels are told: the agent is gone before a packet passes again. The server finds out alone.
#[tokio::test]
async fn an_agent_vanishes_behind_a_dead_line() -> Result<()> {
    let mut place = Place::across(Network::enter()?).await?;
    place.ledger.spare('b');
    for _ in 0..if full() { 4 } else { 1 } {
        place.carried(6).await?;
        let gone = place.disconnected_without_the_first().await?;
        let since = place.lose(Lost::Both, "all packets are lost, and the agent vanishes")?;
        place.kill_agent().await?;
        place.noticed_by_server(since, gone).await?;
        place.network()?.heal()?;
        place.ledger.note("no packet is lost any more");
        place.replace_agent().await?;
    }
    place.judge_by(SILENT).await
}

/// F12.
#[tokio::test]
async fn every_connection_is_cut_again_and_again() -> Result<()> {
    let mut place = Place::start().await?;
    place.carried(6).await?;
    place.fault("every connection is cut again and again");
    let mut beats = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..if full() { 300 } else { 15 } {
        beats.tick().await;
        place.proxy()?.cut_all();
    }
    place.ledger.note("no more cuts");
    place.judge_by(AFTER_LONG).await
}

/// Nobody who stands still for so long, in seconds, loses a connection: a dead one is silent for three times that.
pub(super) const HARMLESS: u64 = 5;

const STANDS_STILL: &[u64] = &[1, 3, HARMLESS];
const STANDS_STILL_FULL: &[u64] = &[1, 2, 3, 4, HARMLESS, 30];

/// F24: a process that does not run cannot answer. A short while of that costs no connection.
#[tokio::test]
async fn an_agent_stands_still_for_a_while() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('b');
    for seconds in if full() { STANDS_STILL_FULL } else { STANDS_STILL } {
        place.carried(6).await?;
        let connected = place.connections_so_far().await?;
        place.faulty.program().signal(Signal::STOP)?;
        place.fault(&format!("the agent stands still for {seconds} s"));
        lasts(*seconds).await;
        place.faulty.program().signal(Signal::CONT)?;
        if *seconds <= HARMLESS {
            place.none_was_lost(connected).await?;
        }
    }
    place.judge_by(AFTER_LONG).await
}

/// F24, for the server: everyone waits, and nobody is lost.
#[tokio::test]
async fn the_server_stands_still_for_a_while() -> Result<()> {
    let mut place = Place::start().await?;
    for seconds in if full() { STANDS_STILL_FULL } else { STANDS_STILL } {
        place.carried(6).await?;
        let connected = place.connections_so_far().await?;
        place.stack.program().signal(Signal::STOP)?;
        place.fault(&format!("the server stands still for {seconds} s"));
        lasts(*seconds).await;
        place.stack.program().signal(Signal::CONT)?;
        if *seconds <= HARMLESS {
            place.none_was_lost(connected).await?;
        }
    }
    place.judge_by(AFTER_LONG).await
}

impl Place {
    /// How many connections of agents the server has taken in, and how many it has lost, when all are there.
    pub(super) async fn connections_so_far(&mut self) -> Result<[usize; 2]> {
        self.faulty.connected().await?;
        self.spared.connected().await?;
        let said = self.stack.program().log();
        Ok(["agent connected", "agent disconnected"].map(|what| said.matches(what).count()))
    }

    /// How many connections the server will have lost when it has also lost those of the first tenant's agent.
    async fn disconnected_without_the_first(&mut self) -> Result<usize> {
        let [taken, lost] = self.connections_so_far().await?;
        // Both agents have as many.
        Ok(lost + (taken - lost) / 2)
    }

    /// The server must notice that so many connections are dead.
    async fn noticed_by_server(&mut self, since: Duration, gone: usize) -> Result<()> {
        let mut said = || self.stack.program().log().matches("agent disconnected").count();
        until("the server gives the sessions up", EVENTUALLY, || ready(said() >= gone)).await?;
        assert_eq!(said(), gone);
        self.noticed("the server says that the links are dead", since);
        Ok(())
    }

    /// The same connections carry what comes.
    pub(super) async fn none_was_lost(&mut self, connected: [usize; 2]) -> Result<()> {
        self.carried(6).await?;
        for agent in [&mut self.faulty, &mut self.spared] {
            agent.catch_up().await?;
            assert!(!agent.has_said("disconnected"), "{:#?}", agent.seen());
        }
        assert_eq!(self.connections_so_far().await?, connected);
        Ok(())
    }

    /// Loses packets for so long.
    pub(super) async fn lose_for(&mut self, lost: Lost, seconds: u64) -> Result<()> {
        self.lose(lost, &format!("packets are lost for {seconds} s"))?;
        lasts(seconds).await;
        self.network()?.heal()?;
        self.ledger.note("no packet is lost any more");
        Ok(())
    }

    fn lose(&mut self, lost: Lost, what: &str) -> Result<Duration> {
        let port = self.stack.https().port();
        self.network()?.lose(lost, port)?;
        Ok(self.fault(what))
    }
}

/// How long a fault is there: the load goes on meanwhile.
pub(super) async fn lasts(seconds: u64) {
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..=seconds {
        beats.tick().await;
    }
}
