//! F24: a program that gets a tenth of a processor, under load, does everything as before, only later.

use std::time::Duration;

use adit_e2e::{SMALL_BYTES_MAX, Starvation, full};
use adit_testkit::ledger::{Slowdown, Told, slowed};
use anyhow::{Result, ensure};

use super::network::lasts;
use super::place::Place;
use super::promises::SILENT;

/// In the full run longer than a link may be silent before it is taken for dead.
const STARVED_S: u64 = 8;
const STARVED_S_FULL: u64 = 40;

/// Of the middle one of the small answers, by that of those before: it is slower meanwhile, and not afterwards.
const AS_BEFORE: Slowdown = Slowdown { percent_max: 200, noise: Duration::from_millis(20) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_starved() -> Result<()> {
    let place = Place::start().await?;
    place.ledger.spare('b');
    place.starve("the agent", |place| place.faulty.program().starve()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_starved() -> Result<()> {
    let place = Place::start().await?;
    place.starve("the server", |place| place.stack.program().starve()).await
}

impl Place {
    /// Nobody is taken for dead, nobody sees an error, and afterwards everything is as fast as before.
    async fn starve(mut self, who: &str, begin: impl FnOnce(&mut Self) -> Starvation) -> Result<()> {
        self.carried(12).await?;
        let connected = self.connections_so_far().await?;
        let from = self.fault(&format!("{who} starves"));
        let starvation = begin(&mut self);
        lasts(if full() { STARVED_S_FULL } else { STARVED_S }).await;
        self.carried(3).await?;
        let over = self.ledger.now();
        starvation.end().await?;
        self.ledger.note("and has enough again");
        self.none_was_lost(connected).await?;
        self.carried(12).await?;

        let books = self.ledger.books();
        let small = |during| books.small_answer_times('a', during, SMALL_BYTES_MAX);
        let [before, meanwhile, after] = [Duration::ZERO..from, from..over, over..Duration::MAX].map(small);
        ensure!(slowed([&before, &before], &meanwhile, AS_BEFORE).is_some(), "{who} did not starve");
        assert_eq!(slowed([&before, &before], &after, AS_BEFORE), None);
        let mut told = books.requests.values().flat_map(|asked| &asked.told);
        assert_eq!(told.find(|(_, told)| *told != Told::Complete), None, "{:#?}", books.log);
        self.judge_by(SILENT).await
    }
}
