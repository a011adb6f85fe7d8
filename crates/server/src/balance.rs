//! Which member of a pool a request goes to. Pure: the numbers come from outside.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_domain::Balance;
use adit_domain::id::InstanceId;

/// What is known of a member that could take a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) instance: InstanceId,
    /// Requests in flight.
    pub(crate) busy: usize,
}

/// The state of one pool's choices: how many have been made, from a random start.
#[derive(Debug)]
pub(crate) struct Turn(AtomicU64);

impl Turn {
    pub(crate) fn new() -> Self {
        Self::starting_at(RandomState::new().hash_one(0_u64))
    }

    const fn starting_at(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The place of the candidate that is chosen, if there is one.
    pub(crate) fn choose(&self, balance: Balance, candidates: &[Candidate]) -> Option<usize> {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        let in_turn = below(turn, candidates.len())?;
        match balance {
            Balance::RoundRobin => Some(in_turn),
            Balance::Random => below(mixed(turn), candidates.len()),
            Balance::Least => {
                let (first, second) = (in_turn..candidates.len(), 0..in_turn);
                first.chain(second).min_by_key(|at| candidates.get(*at).map(|candidate| candidate.busy))
            }
        }
    }
}

/// The place of the candidate that this address always gets, as long as it is there: the one with the highest mark
/// (rendezvous hashing), so that a member that leaves or joins moves no visitor of another one. Of an IPv6 address the
/// network counts, since its owner changes the rest at will.
pub(crate) fn by_address(address: IpAddr, candidates: &[Candidate]) -> Option<usize> {
    let network = match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or_default(),
    };
    let mark = |candidate: &Candidate| {
        let instance = u128::from_be_bytes(candidate.instance.to_bytes());
        let (high, low) = (instance >> 64, instance & u128::from(u64::MAX));
        let fold = |mark: u64, part: u128| mixed(mark ^ u64::try_from(part).unwrap_or_default());
        fold(fold(mixed(network), high), low)
    };
    (0..candidates.len()).max_by_key(|at| candidates.get(*at).map(mark))
}

fn below(number: u64, end: usize) -> Option<usize> {
    let end = u64::try_from(end).ok()?;
    usize::try_from(number.checked_rem(end)?).ok()
}

/// The finalizer of `SplitMix64` over its own step: neighbours come out unrelated.
const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use adit_domain::Balance;
    use adit_domain::id::InstanceId;

    use super::{Candidate, Turn, by_address};

    fn candidates(busy: &[usize]) -> Vec<Candidate> {
        let numbered = busy.iter().zip(1_u8..);
        numbered.map(|(&busy, n)| Candidate { instance: InstanceId::from_bytes([n; 16]), busy }).collect()
    }

    /// How often each of `n` idle candidates is chosen in `rounds`.
    fn spread(balance: Balance, n: usize, rounds: usize) -> Vec<usize> {
        let (turn, candidates) = (Turn::starting_at(42), candidates(&vec![0; n]));
        let mut chosen = vec![0; n];
        for _ in 0..rounds {
            chosen[turn.choose(balance, &candidates).unwrap()] += 1;
        }
        chosen
    }

    #[test]
    fn each_in_turn() {
        let (turn, candidates) = (Turn::starting_at(0), candidates(&[9, 0, 3]));
        let order: Vec<_> = (0..6).map(|_| turn.choose(Balance::RoundRobin, &candidates).unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(spread(Balance::RoundRobin, 4, 4_000), [1_000; 4]);
    }

    #[test]
    fn the_least_loaded_and_equals_in_turn() {
        let turn = Turn::starting_at(7);
        for _ in 0..10 {
            assert_eq!(turn.choose(Balance::Least, &candidates(&[3, 2, 9])), Some(1));
        }
        assert_eq!(spread(Balance::Least, 4, 4_000), [1_000; 4]);
    }

    /// The number is binomial with mean 2,500 and a deviation of 43: five deviations happen once in a million.
    #[test]
    fn random_is_even() {
        for chosen in spread(Balance::Random, 4, 10_000) {
            assert!((2_280..=2_720).contains(&chosen), "{chosen}");
        }
        // And not in turn: of two neighbours one in four is the same.
        let (turn, candidates) = (Turn::starting_at(1), candidates(&[0; 4]));
        let order: Vec<_> = (0..10_000).map(|_| turn.choose(Balance::Random, &candidates).unwrap()).collect();
        let same = order.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((2_280..=2_720).contains(&same), "{same}");
    }

    #[test]
    fn an_address_keeps_its_member_when_others_leave() {
        let all = candidates(&[0; 4]);
        let mut chosen = vec![0; 4];
        for n in 0..10_000_u32 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + n));
            let at = by_address(address, &all).unwrap();
            chosen[at] += 1;
            for gone in (0..4).filter(|gone| *gone != at) {
                let left: Vec<_> = (0..4).filter(|n| *n != gone).map(|n| all[n]).collect();
                let again = by_address(address, &left).unwrap();
                assert_eq!(left[again].instance, all[at].instance);
            }
        }
        for chosen in chosen {
            assert!((2_280..=2_720).contains(&chosen), "{chosen}");
        }
        let host = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, n, n, n, n));
        let members: Vec<_> = (0..100).map(|n| by_address(host(n), &all)).collect();
        assert!(members.iter().all(|member| *member == members[0]), "one network is one visitor");
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert_eq!(by_address(mapped, &all), by_address(IpAddr::V4(Ipv4Addr::LOCALHOST), &all));
    }

    #[test]
    fn of_nobody_nobody() {
        assert_eq!(Turn::new().choose(Balance::Least, &[]), None);
        assert_eq!(Turn::new().choose(Balance::Random, &[]), None);
        assert_eq!(by_address(IpAddr::V4(Ipv4Addr::LOCALHOST), &[]), None);
    }
}
