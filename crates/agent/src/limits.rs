//! Every bound of this crate.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Name look-up and connection set-up to the server, for the exchange and for the session alike.
pub const SERVER_DIAL: Duration = Duration::from_secs(10);

/// TLS handshake with the server.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// The server's answer to the preface, after ours went out.
pub const PREFACE: Duration = Duration::from_secs(5);

/// The server's answer to a bind. The server may have to fence another agent first.
pub const BIND: Duration = Duration::from_secs(15);

/// The whole exchange of the API key for a capability, from the request to the last byte of the answer.
pub const EXCHANGE: Duration = Duration::from_secs(15);

/// Largest answer to the exchange, in bytes.
pub const EXCHANGE_BODY_BYTES_MAX: usize = 64 * 1024;

/// Nodes of one exchange that are kept; further ones are ignored.
pub const NODES_MAX: usize = 64;

/// Connection set-up to the upstream, including its name look-up and, for `https`, its TLS handshake.
pub const UPSTREAM_DIAL: Duration = Duration::from_secs(10);

/// TLS handshake of a visitor with the agent, where the agent speaks TLS with visitors.
pub const VISITOR_HANDSHAKE: Duration = Duration::from_secs(10);

/// Such handshakes at a time. Each may hold a hello of 64 KiB; a visitor beyond is cut.
pub const VISITOR_HANDSHAKES_MAX: usize = 512;

/// Bytes that each direction moves at a time where the agent speaks TLS with visitors: what a TLS record holds.
pub const FERRY_BYTES: usize = 16 * 1024;

/// How often the agent looks whether the files of its certificate have changed.
pub const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);

/// Visitors' flows of datagrams at once, over all connections; further ones are refused. Each has a socket, and most systems
/// give a process 1,024 descriptors.
pub const FLOWS_MAX: usize = 1_000;

/// A flow that is silent for this long, both ways, ends here too. The node's times are shorter.
pub const FLOW_IDLE: Duration = Duration::from_mins(3);

/// Largest datagram that is kept until the upstream has answered, in bytes, to be sent to another of its addresses.
pub const DATAGRAM_RESENT_BYTES_MAX: usize = 2 * 1024;

/// Errors of a flow's socket without a datagram in between, refusals apart, after which the flow ends.
pub const FLOW_ERRORS_MAX: u32 = 16;

/// First ceiling of the delay before the agent comes back.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);

/// Last ceiling of the delay before the agent comes back.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long a session must have lived for the delay to start again from [`BACKOFF_MIN`].
pub const STABLE: Duration = Duration::from_mins(1);

/// Longest delay that a server may ask for; what it asks beyond is not honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);

/// Connections of an agent that is not told how many to hold: enough to lose some, and to keep two processors busy.
pub const CONNECTIONS_DEFAULT: usize = 4;

/// Connections that an agent can be told to hold.
pub const CONNECTIONS_MAX: usize = 8;

/// How often a live session asks for a fresh capability.
pub const REFRESH: Duration = Duration::from_hours(1);

/// A capability with less time left than this is exchanged anew before it is shown to a node.
pub const CAPABILITY_LEFT_MIN: Duration = Duration::from_hours(1);

/// How long streams in flight may go on when the agent gives its endpoint back, as after Ctrl-C.
pub const GRACE_RELEASED: Duration = Duration::from_secs(2);

/// The same when it is to be restarted, as after SIGTERM: less than service managers wait before they kill.
pub const GRACE_RETURNING: Duration = Duration::from_secs(10);

/// The same when another agent has taken over.
pub const GRACE_REPLACED: Duration = Duration::from_secs(10);

/// How long the node may take to confirm that it opens no more streams.
pub const UNBIND_CONFIRMED: Duration = Duration::from_millis(300);

/// How long an agent that is asked to stop waits for the answer to a bind, before it leaves without.
pub const BIND_SETTLED: Duration = Duration::from_millis(300);

/// How long each of the last words may take to get through: the unbind, and the goodbye.
pub const FAREWELL: Duration = Duration::from_millis(700);

/// How long the output may take to be written after the agent has ended.
pub const OUTPUT_FLUSH: Duration = Duration::from_millis(200);

/// How long streams of a draining session may go on beside the new one, whatever the server allows.
pub const DRAIN_MAX: Duration = Duration::from_mins(5);

/// Sessions of one connection that drain at once beside the live one; the oldest is cut when one more comes.
pub const DRAINING_SESSIONS_MAX: usize = 2;

/// Events that wait for a slow reader. When it is full the newest is dropped and counted.
pub const EVENTS_MAX: usize = 256;

/// How often the user is told again of an upstream that cannot be reached.
pub const UPSTREAM_EVENT_EVERY: Duration = Duration::from_secs(30);

/// Shortest and longest silence that a node may name as the one after which a ping is sent.
pub const HEARTBEAT_IDLE: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_mins(1);

/// Longest silence that a node may name as the one after which it is dead.
pub const HEARTBEAT_DEAD_MAX: Duration = Duration::from_mins(2);

/// Shortest time between two questions for a fresh capability.
pub const REFRESH_MIN: Duration = Duration::from_secs(1);

/// How long to wait after a question for a fresh capability that was refused, if the node names no longer time.
pub const REFRESH_AGAIN: Duration = Duration::from_mins(5);

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// Longest text on standard input that is read for an API key, in bytes.
pub const KEY_INPUT_BYTES_MAX: u64 = 1024;

/// Longest host of an upstream or server, in bytes.
pub const HOST_BYTES_MAX: usize = 253;

/// Longest name under which the server knows an upstream, in bytes; longer ones are shortened with a hash.
pub const LABEL_BYTES_MAX: usize = 64;
