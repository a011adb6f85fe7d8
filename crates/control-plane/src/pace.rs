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
