//! F16: wall clocks jump. Nothing that waits does so by them.

use std::time::Duration;

use adit_e2e::{Options, SetClock, full};
use anyhow::Result;
use serde_json::Value;

use super::place::{Place, Way};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Each from the truth: an hour and a day each way, and far beyond the life of every capability and certificate.
const JUMPS: [i64; 6] = [HOUR, -HOUR, DAY, -DAY, 30 * DAY, 0];
const JUMPS_FULL: [i64; 10] = [HOUR, -HOUR, 90, -90, DAY, -DAY, 30 * DAY, 400 * DAY, -400 * DAY, 0];

/// What a clock that jumps may lead to in the accounts, until what was carried is written down.
const BILLED_WITHIN: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_servers_clock_jumps() -> Result<()> {
    let clock = SetClock::new()?;
    let options = Options { clock: Some(clock.clone()), ..Options::default() };
    let mut place = Place::start_with(options, Way::Loopback).await?;
    // Nobody is to notice, the first tenant neither.
    place.ledger.spare('a');
    place.ledger.spare('b');
    for ahead in if full() { JUMPS_FULL.as_slice() } else { &JUMPS } {
        clock.set_ahead(*ahead)?;
        place.fault(&format!("the server's clock is {ahead} s ahead"));
        place.carried(12).await?;
    }
    place.no_session_was_lost().await?;
    // No capability is younger than now.
    place.newcomers_are_served().await?;
    place.judge().await
}

#[tokio::test]
async fn an_agents_clock_jumps() -> Result<()> {
    let clock = SetClock::new()?;
    let mut place = Place::start_with(Options::default(), Way::Loopback).await?;
    place.homes[0].clock = Some(clock.clone());
    place.replace_agent().await?;
    place.ledger.spare('b');
    place.carried(6).await?;
    for ahead in if full() { JUMPS_FULL.as_slice() } else { &JUMPS } {
        clock.set_ahead(*ahead)?;
        place.fault(&format!("the agent's clock is {ahead} s ahead"));
        place.carried(12).await?;
    }
    place.no_session_was_lost().await?;
    place.judge().await
}

/// A node whose clock is wrong takes in agents that have a capability of the right time as soon as it is right again, and
/// meanwhile says what is wrong.
#[tokio::test]
async fn an_agent_comes_back_while_the_servers_clock_is_wrong() -> Result<()> {
    let clock = SetClock::new()?;
    let options = Options { clock: Some(clock.clone()), ..Options::default() };
    let mut place = Place::start_with(options, Way::Loopback).await?;
    place.ledger.spare('b');
    for ahead in [90, -90, HOUR, -DAY] {
        clock.set_ahead(ahead)?;
        place.fault(&format!("the server's clock is {ahead} s ahead"));
        place.kill_agent().await?;
        // Who mints and who verifies have the same clock: it is wrong, and agrees with itself.
        place.replace_agent().await?;
        place.carried(6).await?;
    }
    clock.set_ahead(0)?;
    place.carried(6).await?;
    place.judge().await
}

/// Hours that come twice, or not at all, are billed once.
#[tokio::test]
async fn what_is_billed_is_right_whatever_the_clock_says() -> Result<()> {
    let clock = SetClock::new()?;
    let options = Options { clock: Some(clock.clone()), ..Options::default() };
    let scene = adit_e2e::Scene::start_on(adit_e2e::Stack::start_with(options).await?).await?;
    let mut connection = scene.visitor.http().await?;
    let mut expected = 0;
    for ahead in [HOUR, 0, -HOUR, HOUR, -DAY, 0] {
        clock.set_ahead(ahead)?;
        connection.download("/bytes/10000?seed=1").await?;
        expected += 10_000;
        adit_e2e::until("the bill is right", BILLED_WITHIN, async || {
            let rows = scene.stack.admin::<Vec<Value>>(&["usage", "--tenant", scene.tenant()]).await;
            let sum = |rows: Vec<Value>| rows.iter().filter_map(|row| row["out_bytes"].as_u64()).sum::<u64>();
            rows.is_ok_and(|rows| sum(rows) == expected)
        })
        .await?;
    }
    Ok(())
}

impl Place {
    /// Neither the last session of an agent nor one of several.
    async fn no_session_was_lost(&mut self) -> Result<()> {
        for agent in [&mut self.faulty, &mut self.spared] {
            agent.catch_up().await?;
            assert!(!agent.has_said("disconnected"), "{:?}", agent.seen());
            let open: Vec<_> = agent.seen().iter().filter_map(|event| event["open"].as_u64()).collect();
            assert!(open.is_sorted(), "{:?}", agent.seen());
        }
        Ok(())
    }
}
