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

/// Of that time it stands still for so much, in hundredths; more where the machine has nothing else to do.
const STOOD_PERCENT_MIN: u32 = 60;

/// Of the middle one of the small answers afterwards, by that of those before and of the neighbour's.
const AS_USUAL: Slowdown = Slowdown { percent_max: 200, noise: Duration::from_millis(20) };

/// The same by that of those meanwhile, on a machine that has become busy.
const FASTER: Slowdown = Slowdown { percent_max: 50, noise: Duration::ZERO };

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
        let (lasted, stood) = (over.saturating_sub(from), starvation.end().await?);
        ensure!(stood * 100 >= lasted * STOOD_PERCENT_MIN, "{who} stood still for {stood:?} of {lasted:?}");
        self.ledger.note("and has enough again");
        self.none_was_lost(connected).await?;
        self.carried(12).await?;

        let books = self.ledger.books();
        let small = |mark, during| books.small_answer_times(mark, during, SMALL_BYTES_MAX);
        let (before, meanwhile) = (small('a', Duration::ZERO..from), small('a', from..over));
        let [after, neighbours] = ['a', 'b'].map(|mark| small(mark, over..Duration::MAX));
        let slower = slowed([&before, &neighbours], &after, AS_USUAL);
        let no_faster = slowed([&meanwhile, &[]], &after, FASTER);
        ensure!(slower.is_none() || no_faster.is_none(), "afterwards {slower:?}, {no_faster:?}");
        let mut told = books.requests.values().flat_map(|asked| &asked.told);
        assert_eq!(told.find(|(_, told)| *told != Told::Complete), None, "{:#?}", books.log);
        self.judge_by(SILENT).await
    }
}
