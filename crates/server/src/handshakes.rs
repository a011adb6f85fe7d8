//! How fast agents may come. Checking a preface costs two signatures, and a database that was away is met by all agents
//! at once.

use std::net::IpAddr;
use std::time::Instant;

use adit_net::accept::counted_as;
use adit_net::rate::{Pace, Paces, Rate, TooOften};

use crate::limits::{
    AGENT_HANDSHAKES_ADDRESSES_MAX, AGENT_HANDSHAKES_BURST, AGENT_HANDSHAKES_INTERVAL,
    AGENT_HANDSHAKES_LEFT_MIN, AGENT_HANDSHAKES_PER_ADDRESS_BURST, AGENT_HANDSHAKES_PER_ADDRESS_INTERVAL,
    BAD_SIGNATURES_ADDRESSES_MAX, BAD_SIGNATURES_BURST, BAD_SIGNATURES_INTERVAL,
};

/// The paces of one node.
#[derive(Debug)]
pub(crate) struct Handshakes {
    all: Pace,
    each: Paces<IpAddr>,
    bad: Paces<IpAddr>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let all = Rate { burst: AGENT_HANDSHAKES_BURST, interval: AGENT_HANDSHAKES_INTERVAL };
        let each = Rate {
            burst: AGENT_HANDSHAKES_PER_ADDRESS_BURST,
            interval: AGENT_HANDSHAKES_PER_ADDRESS_INTERVAL,
        };
        let bad = Rate { burst: BAD_SIGNATURES_BURST, interval: BAD_SIGNATURES_INTERVAL };
        Self {
            all: Pace::new(all),
            each: Paces::new(each, AGENT_HANDSHAKES_ADDRESSES_MAX),
            bad: Paces::new(bad, BAD_SIGNATURES_ADDRESSES_MAX),
        }
    }
}

impl Handshakes {
    /// Whether a preface from this address may be checked now. Within its own pace an address gets what there is; beyond
    /// it, as when many agents behind one address come back at once, what others leave.
    ///
    /// # Errors
    /// [`TooOften`], with the time to wait.
    pub(crate) fn begin(&self, peer: IpAddr) -> Result<(), TooOften> {
        self.begin_at(counted_as(peer), Instant::now())
    }

    fn begin_at(&self, address: IpAddr, now: Instant) -> Result<(), TooOften> {
        self.bad.look(&address, now)?;
        match self.each.take(address, now) {
            Ok(()) => self.all.take(now),
            Err(TooOften(_)) => self.all.take_leaving(AGENT_HANDSHAKES_LEFT_MIN, now),
        }
    }

    /// The address showed a signature that is wrong. Nothing else counts against it: behind one address may be many
    /// agents, and expired or revoked ones among them are nobody's attack.
    pub(crate) fn bad_signature(&self, peer: IpAddr) {
        self.bad_signature_at(counted_as(peer), Instant::now());
    }

    fn bad_signature_at(&self, address: IpAddr, now: Instant) {
        // One that is over its limit already was not checked.
        let _ = self.bad.take(address, now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::Handshakes;
    use crate::limits::{
        AGENT_HANDSHAKES_ADDRESSES_MAX, AGENT_HANDSHAKES_BURST, AGENT_HANDSHAKES_INTERVAL,
        AGENT_HANDSHAKES_LEFT_MIN, AGENT_HANDSHAKES_PER_ADDRESS_BURST, AGENT_HANDSHAKES_PER_ADDRESS_INTERVAL,
        BAD_SIGNATURES_ADDRESSES_MAX, BAD_SIGNATURES_BURST, BAD_SIGNATURES_INTERVAL,
    };

    /// Numbers of addresses around a limit, and whether the last one is counted.
    fn around(addresses_max: usize) -> [(u32, bool); 3] {
        let max = u32::try_from(addresses_max).unwrap_or(u32::MAX);
        [(max - 1, true), (max, true), (max + 1, false)]
    }

    /// One that counts by itself.
    fn address(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + n))
    }

    /// How many of so many prefaces that arrive at one moment are checked.
    fn checked(handshakes: &Handshakes, from: IpAddr, prefaces: u32, now: Instant) -> u32 {
        (0..prefaces).map(|_| u32::from(handshakes.begin_at(from, now).is_ok())).sum()
    }

    #[test]
    fn bad_signatures_count_against_their_address_alone() {
        let handshakes = Handshakes::default();
        for n in 1..=BAD_SIGNATURES_BURST {
            assert!(handshakes.begin(address(1)).is_ok(), "{n}");
            handshakes.bad_signature(address(1));
        }
        assert!(handshakes.begin(address(1)).is_err());
        assert!(handshakes.begin(address(2)).is_ok());
    }

    #[test]
    fn after_a_while_such_an_address_may_show_one_more() {
        const A_MOMENT: Duration = Duration::from_micros(1);
        let (handshakes, now) = (Handshakes::default(), Instant::now());
        (0..BAD_SIGNATURES_BURST).for_each(|_| handshakes.bad_signature_at(address(1), now));
        let not_quite = BAD_SIGNATURES_INTERVAL.saturating_sub(A_MOMENT);
        let later = now + BAD_SIGNATURES_INTERVAL;
        assert!(handshakes.begin_at(address(1), now + not_quite).is_err());
        assert!(handshakes.begin_at(address(1), later).is_ok());
        handshakes.bad_signature_at(address(1), later);
        assert!(handshakes.begin_at(address(1), later + not_quite).is_err());
    }

    #[test]
    fn bad_signatures_of_so_many_addresses_are_remembered() {
        for (addresses, is_counted) in around(BAD_SIGNATURES_ADDRESSES_MAX) {
            let (handshakes, now) = (Handshakes::default(), Instant::now());
            (1..addresses).for_each(|n| handshakes.bad_signature_at(address(n), now));
            (0..BAD_SIGNATURES_BURST).for_each(|_| handshakes.bad_signature_at(address(0), now));
            assert_eq!(handshakes.begin_at(address(0), now).is_err(), is_counted, "{addresses}");
        }
    }

    #[test]
    fn the_prefaces_of_so_many_addresses_are_counted() {
        for (addresses, is_counted) in around(AGENT_HANDSHAKES_ADDRESSES_MAX) {
            let (handshakes, now) = (Handshakes::default(), Instant::now());
            let _ = (1..addresses).map(|n| checked(&handshakes, address(n), 1, now)).sum::<u32>();
            checked(&handshakes, address(0), AGENT_HANDSHAKES_PER_ADDRESS_BURST, now);
            // There are a few for all again, which one beyond its own pace does not get.
            let soon = now + AGENT_HANDSHAKES_PER_ADDRESS_INTERVAL / 2;
            assert_eq!(handshakes.begin_at(address(0), soon).is_err(), is_counted, "{addresses}");
        }
    }

    #[test]
    fn all_agents_together_have_a_pace() {
        let (handshakes, now) = (Handshakes::default(), Instant::now());
        let addresses = AGENT_HANDSHAKES_BURST / AGENT_HANDSHAKES_PER_ADDRESS_BURST + 1;
        let each = AGENT_HANDSHAKES_PER_ADDRESS_BURST;
        let all: u32 = (0..addresses).map(|n| checked(&handshakes, address(n), each, now)).sum();
        assert_eq!(all, AGENT_HANDSHAKES_BURST);
    }

    #[test]
    fn an_address_that_floods_leaves_the_others_theirs() {
        let (handshakes, now) = (Handshakes::default(), Instant::now());
        let most = AGENT_HANDSHAKES_BURST - AGENT_HANDSHAKES_LEFT_MIN;
        assert_eq!(checked(&handshakes, address(1), most - 1, now), most - 1);
        assert_eq!(checked(&handshakes, address(1), 2, now), 1);
        // It goes on, and takes what comes in; what is left for others stays.
        let later = now + AGENT_HANDSHAKES_INTERVAL * 10;
        assert_eq!(checked(&handshakes, address(1), 1_000, later), 10);
        let each = AGENT_HANDSHAKES_PER_ADDRESS_BURST;
        let others = AGENT_HANDSHAKES_LEFT_MIN / each;
        for n in 2..2 + others {
            assert_eq!(checked(&handshakes, address(n), each, later), each, "{n}");
        }
        assert_eq!(checked(&handshakes, address(1), 1, later), 0);
    }

    #[test]
    fn many_agents_of_one_address_come_back_as_fast_as_any() {
        let (handshakes, mut now) = (Handshakes::default(), Instant::now());
        let seconds = 10;
        let mut came = 0;
        for _ in 0..seconds {
            came += checked(&handshakes, address(1), 1_000, now);
            now += Duration::from_secs(1);
        }
        assert!(came >= (seconds - 1) * 100, "{came}");
    }
}
