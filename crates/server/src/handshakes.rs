//! How fast agents may come. Checking a preface costs two signatures, and a database that was away is met by all agents
//! at once.

use std::net::IpAddr;
use std::time::Instant;

use adit_net::accept::counted_as;
use adit_net::rate::{Pace, Paces, Rate, TooOften};

use crate::limits::{
    AGENT_HANDSHAKES_BURST, AGENT_HANDSHAKES_INTERVAL, BAD_SIGNATURES_ADDRESSES_MAX, BAD_SIGNATURES_BURST,
    BAD_SIGNATURES_INTERVAL,
};

/// The paces of one node.
#[derive(Debug)]
pub(crate) struct Handshakes {
    all: Pace,
    bad: Paces<IpAddr>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let all = Rate { burst: AGENT_HANDSHAKES_BURST, interval: AGENT_HANDSHAKES_INTERVAL };
        let bad = Rate { burst: BAD_SIGNATURES_BURST, interval: BAD_SIGNATURES_INTERVAL };
        Self { all: Pace::new(all), bad: Paces::new(bad, BAD_SIGNATURES_ADDRESSES_MAX) }
    }
}

impl Handshakes {
    /// Whether a preface from this address may be checked now.
    ///
    /// # Errors
    /// [`TooOften`], with the time to wait.
    pub(crate) fn begin(&self, peer: IpAddr) -> Result<(), TooOften> {
        let now = Instant::now();
        self.bad.look(&counted_as(peer), now)?;
        self.all.take(now)
    }

    /// The address showed a signature that is wrong. Nothing else counts against it: behind one address may be many
    /// agents, and expired or revoked ones among them are nobody's attack.
    pub(crate) fn bad_signature(&self, peer: IpAddr) {
        // One that is over its limit already was not checked.
        let _ = self.bad.take(counted_as(peer), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::Handshakes;
    use crate::limits::{AGENT_HANDSHAKES_BURST, BAD_SIGNATURES_BURST};

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
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
    fn all_agents_together_have_a_pace() {
        let handshakes = Handshakes::default();
        let refused =
            (0..AGENT_HANDSHAKES_BURST * 20).filter(|_| handshakes.begin(address(1)).is_err()).count();
        assert!(refused > 0);
    }
}
