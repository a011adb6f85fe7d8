//! F13: an agent at the end of a line that is long, narrow and loses packets, beside plain TCP on the same line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use adit_e2e::{
    Agent, Connection, Digest, HERE, Home, Line, Network, Options, Origin, Quality, Stack, Visitor, full,
    patterned,
};
use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

/// How long one transfer takes on a line that is full: so long, or so many round trips. Both sides must have learned how much
/// it carries, and be measured by that.
const TRANSFER: Duration = Duration::from_secs(2);
const ROUND_TRIPS: u32 = 10;

/// How long one takes at most where plain TCP does not fill the line.
const TRANSFER_MAX: Duration = Duration::from_secs(8);

/// Transfers of each kind, one after the other. Odd, for the median.
const ROUNDS: usize = 3;

/// Least speed, in percent of what plain TCP has on the same line in turns with it, where no packet is lost: in the best of
/// the rounds, as other tests want the processors, too. It is 86 and more where nothing else does.
const PERCENT_MIN: u32 = 70;

/// The same where packets are lost, by medians: each loss falls on one of the two.
const PERCENT_MIN_LOSSY: u32 = 60;

/// The same in a short run, beside other tests, and on a line that is longer than [`LONG`]: a new stream spends much of its
/// time there on learning how wide its window must be.
const PERCENT_MIN_LOOSE: u32 = 35;
const LONG: Duration = Duration::from_millis(100);

/// A line: its round trip in milliseconds, what it carries in Mbit/s, packets of a thousand that are lost.
struct Cell(u64, u64, u64);

const SHORT: &[Cell] = &[Cell(40, 50, 5)];

const GRID: &[Cell] = &[
    Cell(0, 100, 0),
    Cell(0, 100, 20),
    Cell(5, 200, 0),
    Cell(10, 100, 0),
    Cell(10, 100, 10),
    Cell(20, 50, 50),
    Cell(50, 100, 0),
    Cell(50, 50, 10),
    Cell(100, 100, 0),
    Cell(100, 10, 20),
    Cell(200, 1, 10),
    Cell(400, 20, 0),
    Cell(400, 10, 10),
];

impl Cell {
    fn quality(&self) -> Quality {
        let Self(round_trip_ms, megabits_per_s, lost_per_mille) = *self;
        let round_trip = Duration::from_millis(round_trip_ms);
        Quality { round_trip, bits_per_s: megabits_per_s * 1_000_000, lost_per_mille }
    }
}

/// Bytes arrive as they were, the agent's one session is not given up, and one stream has most of what plain TCP has.
#[tokio::test]
async fn a_tunnel_over_a_bad_line_is_whole_and_about_as_fast_as_tcp() -> Result<()> {
    let cells = if full() { GRID } else { SHORT };
    let mut far = Far::start(cells[0].quality()).await?;
    let mut slow = Vec::new();
    for cell in cells {
        far.line.becomes(cell.quality());
        for direction in [Direction::Down, Direction::Up] {
            let percent = far.compare(direction, cell.quality()).await?;
            if percent < percent_min(&cell.quality()) {
                slow.push(format!("{direction:?} {:?}: {percent} %", cell.quality()));
            }
        }
    }
    far.agent.catch_up().await?;
    assert!(!far.agent.has_said("disconnected"), "{:#?}", far.agent.seen());
    assert!(slow.is_empty(), "{slow:#?}");
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Down,
    Up,
}

/// A stack, and an agent with its upstream on a computer that is far away. Whatever uses the network goes before it.
struct Far {
    agent: Agent,
    visitor: Visitor,
    /// The upstream, past the tunnel.
    upstream: SocketAddr,
    _origin: Origin,
    _home: Home,
    _stack: Stack,
    line: Line,
    _network: Network,
}

impl Far {
    async fn start(quality: Quality) -> Result<Self> {
        let network = Network::enter()?;
        let line = network.lay(quality)?;
        let names = Some([HERE, "endpoints.example"]);
        let address = Some(Ipv4Addr::UNSPECIFIED.into());
        let stack = Stack::start_with(Options { names, address, ..Options::default() }).await?;
        let mut home = Home::new(&stack, &stack.tenant("far-away").await?)?;
        home.inside = network.namespaces().into_iter().next_back();
        let (listener, upstream) = network.listen_there()?;
        listener.set_nonblocking(true)?;
        let origin = Origin::start_on(TcpListener::from_std(listener)?)?;
        // One connection beside one: of several, each learns for itself what the line carries.
        let mut agent =
            home.adit(&["http", &origin.port(), "--json", "--url", "far", "--connections", "1"])?;
        let visitor = Visitor::new(&stack, &agent.hostname().await?)?;
        Ok(Self {
            agent,
            visitor,
            upstream,
            _origin: origin,
            _home: home,
            _stack: stack,
            line,
            _network: network,
        })
    }

    /// How fast the tunnel is, in percent of plain TCP.
    async fn compare(&mut self, direction: Direction, quality: Quality) -> Result<u32> {
        let mut plain = Visitor::past(self.upstream).await?;
        let mut tunnel = self.visitor.https().await?;
        for connection in [&mut plain, &mut tunnel] {
            let took = transfer(connection, direction, 0).await?;
            assert!(took >= quality.round_trip, "{took:?} over {quality:?}");
        }
        let full = TRANSFER.max(quality.round_trip * ROUND_TRIPS);
        let bytes = quality.bits_per_s / 8 * u64::try_from(full.as_millis())? / 1000;
        transfer(&mut tunnel, direction, bytes / 2).await?;
        let probe = transfer(&mut plain, direction, bytes / 2).await?;
        let bytes_max = u128::from(bytes / 2) * TRANSFER_MAX.as_millis() / probe.as_millis().max(1);
        let bytes = bytes.min(u64::try_from(bytes_max)?);
        let (mut times, mut bare_times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare_times.push(transfer(&mut plain, direction, bytes).await?);
            times.push(transfer(&mut tunnel, direction, bytes).await?);
        }
        let line = Duration::from_micros(bytes * 8_000_000 / quality.bits_per_s);
        let bare_best = best(&bare_times).context("no times")?;
        assert!(bare_best > line, "{bytes} bytes in {bare_times:?} over {quality:?}");
        let of = if quality.lost_per_mille == 0 { best } else { median };
        let (bare, tunnel) = (of(&bare_times).context("no times")?, of(&times).context("no times")?);
        let percent = bare.as_millis() * 100 / tunnel.as_millis().max(1);
        report(&format!(
            "{direction:?} {quality:?}: {bytes} bytes, plain {bare_times:?}, tunnel {times:?}, {percent} %"
        ));
        Ok(u32::try_from(percent)?)
    }
}

/// How long it takes; every byte is looked at.
async fn transfer(connection: &mut Connection, direction: Direction, bytes: u64) -> Result<Duration> {
    let (seed, begun) = (bytes + 1, Instant::now());
    let digest = match direction {
        Direction::Down => connection.download(&format!("/bytes/{bytes}?seed={seed}")).await?,
        Direction::Up => serde_json::from_value(connection.upload("/upload", patterned(seed, bytes)).await?)?,
    };
    let took = begun.elapsed();
    assert_eq!(digest, Digest::of_pattern(seed, bytes));
    Ok(took)
}

fn percent_min(quality: &Quality) -> u32 {
    match (full() && quality.round_trip <= LONG, quality.lost_per_mille) {
        (true, 0) => PERCENT_MIN,
        (true, _) => PERCENT_MIN_LOSSY,
        (false, _) => PERCENT_MIN_LOOSE,
    }
}

fn best(times: &[Duration]) -> Option<Duration> {
    times.iter().min().copied()
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[expect(clippy::print_stderr, reason = "a figure that somebody may want to read")]
fn report(figure: &str) {
    eprintln!("{figure}");
}
