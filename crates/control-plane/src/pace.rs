//! How often capabilities may be asked for: each costs a look-up, a row and a signature.

use std::net::IpAddr;
use std::time::Instant;

use adit_domain::ApiKey;
use adit_net::accept::counted_as;
use adit_net::rate::{Paces, Rate, TooOften};
use adit_web::service::Peer;

use crate::key_hash;
use crate::limits::{
    EXCHANGE_INTERVAL_PER_ADDRESS, EXCHANGE_INTERVAL_PER_KEY, EXCHANGE_PLACES_MAX,
    EXCHANGES_PER_ADDRESS_BURST, EXCHANGES_PER_KEY_BURST,
};

/// The paces of the exchange.
pub(crate) struct ExchangePaces {
    addresses: Paces<IpAddr>,
    keys: Paces<[u8; 32]>,
}

impl Default for ExchangePaces {
    fn default() -> Self {
        let address = Rate { burst: EXCHANGES_PER_ADDRESS_BURST, interval: EXCHANGE_INTERVAL_PER_ADDRESS };
        let key = Rate { burst: EXCHANGES_PER_KEY_BURST, interval: EXCHANGE_INTERVAL_PER_KEY };
        Self {
            addresses: Paces::new(address, EXCHANGE_PLACES_MAX),
            keys: Paces::new(key, EXCHANGE_PLACES_MAX),
        }
    }
}

impl ExchangePaces {
    /// Whether this exchange may be looked at. Asked before the database is.
    ///
    /// # Errors
    /// [`TooOften`], with the time to wait.
    pub(crate) fn begin(&self, peer: Option<Peer>, key: &ApiKey) -> Result<(), TooOften> {
        let now = Instant::now();
        if let Some(Peer(peer)) = peer {
            self.addresses.take(counted_as(peer), now)?;
        }
        self.keys.take(key_hash::hash(key).0, now)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::ExchangePaces;
    use crate::limits::{
        EXCHANGE_INTERVAL_PER_ADDRESS, EXCHANGE_INTERVAL_PER_KEY, EXCHANGE_PLACES_MAX,
        EXCHANGES_PER_ADDRESS_BURST, EXCHANGES_PER_KEY_BURST,
    };

    fn address(n: usize) -> IpAddr {
        Ipv4Addr::from_bits(u32::try_from(n).unwrap()).into()
    }

    fn key(n: usize) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn after_a_while_there_may_be_one_more() {
        const A_MOMENT: Duration = Duration::from_micros(1);
        let (paces, now) = (ExchangePaces::default(), Instant::now());
        let addresses = |at| paces.addresses.take(address(0), at).is_ok();
        let keys = |at| paces.keys.take(key(0), at).is_ok();
        assert!((0..EXCHANGES_PER_ADDRESS_BURST).all(|_| addresses(now)));
        assert!((0..EXCHANGES_PER_KEY_BURST).all(|_| keys(now)));
        let (address_again, key_again) = (EXCHANGE_INTERVAL_PER_ADDRESS, EXCHANGE_INTERVAL_PER_KEY);
        assert!(!addresses(now + address_again.saturating_sub(A_MOMENT)));
        assert!(addresses(now + address_again) && !addresses(now + address_again));
        assert!(!keys(now + key_again.saturating_sub(A_MOMENT)));
        assert!(keys(now + key_again) && !keys(now + key_again));
    }

    #[test]
    fn the_exchanges_of_so_many_addresses_and_keys_are_counted() {
        const MAX: usize = EXCHANGE_PLACES_MAX;
        for (places, is_counted) in [(MAX - 1, true), (MAX, true), (MAX + 1, false)] {
            let (paces, now) = (ExchangePaces::default(), Instant::now());
            for n in 1..places {
                assert!(paces.addresses.take(address(n), now).is_ok(), "{n}");
                assert!(paces.keys.take(key(n), now).is_ok(), "{n}");
            }
            for n in 0..EXCHANGES_PER_ADDRESS_BURST {
                assert!(paces.addresses.take(address(0), now).is_ok(), "{n}");
            }
            for n in 0..EXCHANGES_PER_KEY_BURST {
                assert!(paces.keys.take(key(0), now).is_ok(), "{n}");
            }
            assert_eq!(paces.addresses.take(address(0), now).is_err(), is_counted, "{places}");
            assert_eq!(paces.keys.take(key(0), now).is_err(), is_counted, "{places}");
        }
    }
}
