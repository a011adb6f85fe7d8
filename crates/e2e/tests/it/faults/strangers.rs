//! F29: strangers who send garbage, half a greeting or nothing, and stay; and the hostile who were let in, while something
//! else fails. Nobody else notices.

use std::time::Duration;

use adit_e2e::{Lost, Network, full};
use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::place::Place;
use super::promises::{AFTER_LONG, SILENT};

const GREETINGS: [&[u8]; 4] =
    [b"", b"\x16\x03\x01\x02", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", &[0xff; 4096]];

#[tokio::test]
async fn hostile_strangers_harm_nobody() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('a');
    place.ledger.spare('b');
    place.fault("strangers come");
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
    drop(strangers);
    place.judge().await
}

/// With F1 and F12.
#[tokio::test]
async fn the_hostile_are_busy_while_agents_are_killed_and_connections_cut() -> Result<()> {
    let mut place = Place::start().await?;
    place.ledger.spare('b');
    place.hostiles_come().await?;
    for _ in 0..if full() { 30 } else { 2 } {
        place.carried(6).await?;
        place.kill_agent().await?;
        place.fault("the agent was killed");
        place.replace_agent().await?;
    }
    place.carried(6).await?;
    place.judge().await?;

    let mut place = Place::start().await?;
    place.hostiles_come().await?;
    place.fault("every connection is cut again and again");
    let mut beats = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..if full() { 300 } else { 10 } {
        beats.tick().await;
        place.proxy()?.cut_all();
    }
    place.ledger.note("no more cuts");
    place.judge_by(AFTER_LONG).await
}

/// With F9.
#[tokio::test]
async fn the_hostile_are_busy_while_packets_are_lost() -> Result<()> {
    let mut place = Place::across(Network::enter()?).await?;
    place.ledger.spare('b');
    place.hostiles_come().await?;
    for seconds in if full() { [1, 5, 30].as_slice() } else { &[2] } {
        place.carried(6).await?;
        place.lose_for(Lost::Both, *seconds).await?;
        place.carried_by('a', 3).await?;
    }
    place.judge_by(SILENT).await
}
