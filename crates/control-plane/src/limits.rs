//! Every bound of this crate.

use std::time::Duration;

/// How long a capability is valid: so long agents come back while the control plane is away.
pub const CAPABILITY_LIFETIME: Duration = Duration::from_hours(24);

/// Longest body of a request to the API, in bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1024;

/// How long a request's body may take to arrive.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Exchanges that one source address (IPv6: /64) may ask for at once: an office with its agents.
pub const EXCHANGES_PER_ADDRESS_BURST: u32 = 300;

/// Time after which such an address may ask for one more.
pub const EXCHANGE_INTERVAL_PER_ADDRESS: Duration = Duration::from_millis(200);

/// Exchanges that one API key may be used for at once.
pub const EXCHANGES_PER_KEY_BURST: u32 = 200;

/// Time after which such a key may be used for one more.
pub const EXCHANGE_INTERVAL_PER_KEY: Duration = Duration::from_millis(500);

/// Addresses, and keys, whose exchanges are counted at once.
pub const EXCHANGE_PLACES_MAX: usize = 20_000;

/// Longest agent version that is accepted, in bytes.
pub const AGENT_VERSION_BYTES_MAX: usize = 64;

/// Longest tenant or API key name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Longest name that an agent gives its upstream, in bytes.
pub const UPSTREAM_LABEL_BYTES_MAX: usize = 64;

/// Random names that are tried for one default name. With 50 random bits each, two are never taken in practice.
pub const FRESH_NAMES: usize = 3;

/// How long nobody else gets a public port after it was served last: whoever still has its number in a configuration must
/// not reach another tenant.
pub const PORT_KEPT: Duration = Duration::from_hours(30 * 24);

/// How often the change feed is looked at while somebody waits for it.
pub const CHANGES_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a new signing key is published before the first capability is signed with it, unless it is the only one.
pub const SIGNING_KEY_PUBLISHED_FOR: Duration = Duration::from_mins(1);

/// How long changes, and capabilities that have ended, are kept. Twice the life of a capability: whoever missed a
/// change older than this holds nothing that is still valid.
pub const HISTORY_KEPT: Duration = Duration::from_hours(48);

/// How far the clock may be beyond the newest row before it is taken to be wrong: agents write rows every hour.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_hours(24);

/// How long nothing is deleted then: time to see the log and set the clock, before rows with the wrong time make it look
/// right.
pub const CLOCK_DOUBTED_FOR: Duration = Duration::from_hours(48);

/// How often what is older is deleted.
pub const HOUSEKEEPING_INTERVAL: Duration = Duration::from_hours(1);

/// How long usage is kept, hour by hour: a year of invoices and the time to dispute the last.
pub const USAGE_KEPT: Duration = Duration::from_hours(400 * 24);
