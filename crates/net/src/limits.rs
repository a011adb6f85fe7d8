//! Every bound of this crate.

use std::time::Duration;

/// Connections that wait in the kernel for a listener to accept them. The system may cap it lower.
pub const LISTEN_BACKLOG: u32 = 1024;

/// What is asked for as the kernel's buffer of a public UDP port: bursts of many visitors wait there. The system may cap it
/// lower.
pub const UDP_RECEIVE_BYTES: usize = 1024 * 1024;

/// Pause after an accept that failed for lack of descriptors or memory. The listener stays readable meanwhile, so
/// without a pause the loop would spin.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Most bytes of a connection that are read to find its whole `ClientHello`, TLS record headers included. Hellos
/// with post-quantum key shares take about 1,800.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;

/// Bytes by which the buffer for the `ClientHello` grows, up to [`HELLO_BYTES_MAX`].
pub const HELLO_READ_BYTES: usize = 2 * 1024;

/// Longest header of the PROXY protocol's version 1, its end included: what the protocol allows.
pub const PROXY_LINE_BYTES_MAX: usize = 107;

/// Longest header of version 2. What every sender can send in one segment fits.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;

/// From the accepted connection of a trusted load balancer to the end of its header.
pub const PROXY_HEADER_DEADLINE: Duration = Duration::from_secs(5);

/// Largest PEM file that is read: certificate chain, key or roots.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// How long the development CA lives. Its leaves end with it.
pub const DEV_CA_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// A development CA with less life left than this is replaced when it is loaded.
pub const DEV_CA_REMAINING_MIN: Duration = Duration::from_hours(24);

/// Leaves of the development CA kept in memory; the oldest makes room.
pub const DEV_LEAVES_MAX: usize = 1024;

/// Addresses of one name that are tried.
pub const DIAL_ADDRESSES_MAX: usize = 8;

/// Head start of one address before the next is tried beside it (RFC 8305, section 5).
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);

/// Read buffer under the TLS of an agent link; rustls by itself reads 4 KiB per system call.
pub const LINK_READ_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that any other connection keeps unsent in the kernel. A visitor who asks for much and reads nothing would else
/// have it hold megabytes, and a thousand of them all that the kernel has for sockets.
pub const NOTSENT_BYTES: u32 = 128 * 1024;

/// Bytes that an agent link keeps unsent in the kernel: more would only delay what is urgent.
pub const LINK_NOTSENT_BYTES: u32 = 64 * 1024;

/// Time for which an agent link's bytes may stay unacknowledged before the kernel gives the connection up.
pub const LINK_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which the kernel probes whether the peer still lives.
pub const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);

/// Time between two such probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Unanswered probes after which the connection is dead.
pub const KEEPALIVE_PROBES: u32 = 3;
