//! Every bound of the data plane.

use std::time::Duration;

/// Encrypted bytes that wait for one visitor, beside what the kernel takes. rustls would hold twice as many.
pub const VISITOR_UNSENT_BYTES_MAX: usize = 32 * 1024;

/// From the accepted connection to the end of its TLS handshake.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// From the end of the TLS handshake to the end of an agent's preface.
pub const PREFACE_DEADLINE: Duration = Duration::from_secs(5);

/// Connections of visitors and agents together, per node. Above it the listen queue holds them.
pub const CONNECTIONS_MAX: usize = 15_000;

/// Share of the descriptors, in hundredths, that connections may have, where that is less.
pub const CONNECTIONS_OF_DESCRIPTORS_PERCENT: u64 = 95;

/// Share of the connections, in hundredths, that visitors may have: however many of them are idle, there is room for agents
/// to come. Further visitors are cut off.
pub const VISITORS_OF_CONNECTIONS_PERCENT: usize = 90;

/// Share of the connections, in hundredths, that agent sessions may have: however many agents there are, there is room for
/// visitors. Further agents are told to come back later.
pub const AGENTS_OF_CONNECTIONS_PERCENT: usize = 75;

/// Connections per source address (IPv6: per /64), if nothing else is set. Enough for an office behind one address: five
/// hundred browsers that speak HTTP/2, eighty that do not. Thirty such addresses fill a node, which one alone must not.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 500;

/// Connections of visitors to one tenant's endpoints, per node, whatever its plan says. One tenant's flood leaves room for
/// others.
pub const CONNECTIONS_PER_TENANT_MAX: usize = 12_000;

/// Connections beyond those of its plan that one tenant may have at once: each is told in HTTP that there is no room, and
/// closed. Further ones are closed without a word.
pub const CONNECTIONS_REFUSED_PER_TENANT_MAX: usize = 64;

/// Requests in flight to one tenant's endpoints, per node, whatever its plan says; further ones are answered with 503. As
/// many streams fit in half of the node's memory for streams, which is what a tenant gets that is alone: the streams of
/// each may hold as much as is left free. So there is room for one more tenant, however many take all that they can.
pub const REQUESTS_PER_TENANT_MAX: usize = 2_500;

/// Refused requests a second that leave their connection open, by requests a second that the tenant's plan allows. To
/// answer costs less than the handshake of the connection that would come instead; without an end it is not free either.
pub const REFUSALS_PER_ARRIVAL: u64 = 16;

/// Requests in flight to one endpoint, per node; further ones are answered with 503. More than one session carries, and
/// not all that the tenant may have.
pub const REQUESTS_PER_ENDPOINT_MAX: usize = 2_000;

/// Flows of datagrams to one endpoint: a quarter of the streams that a tenant may hold. Datagrams of further visitors are
/// dropped.
pub const FLOWS_PER_ENDPOINT_MAX: usize = 600;

/// Flows to one tenant's endpoints, per node.
pub const FLOWS_PER_TENANT_MAX: usize = 900;

/// Flows per node: visitors' addresses can be forged, so all of them together get half of the memory for streams.
pub const FLOWS_MAX: usize = 2_500;

/// Flows from one source address (IPv6: per /64), per node.
pub const FLOWS_PER_ADDRESS_MAX: u32 = 256;

/// New flows that one source address may begin at once.
pub const NEW_FLOWS_BURST: u32 = 256;

/// Time after which it may begin one more.
pub const NEW_FLOWS_INTERVAL: Duration = Duration::from_millis(20);

/// Source addresses whose new flows are counted.
pub const NEW_FLOWS_ADDRESSES_MAX: usize = 10_000;

/// How long a flow may be silent whose visitor has not said anything since it was answered first: long enough for a slow
/// answer, and not long enough to keep a place for each question to a name server.
pub const FLOW_QUESTION_IDLE: Duration = Duration::from_secs(10);

/// How long any other flow may be silent, both ways (RFC 4787, section 4.3).
pub const FLOW_CONVERSATION_IDLE: Duration = Duration::from_mins(2);

/// How long a flow may be silent while the node drains.
pub const FLOW_DRAINING_IDLE: Duration = Duration::from_millis(500);

/// Datagrams of one flow that wait for its agent; further ones are dropped.
pub const DATAGRAMS_QUEUED_MAX: usize = 128;

/// What they may come to in bytes, each counted with [`DATAGRAM_COST_BYTES`] more.
pub const DATAGRAM_BYTES_PER_FLOW_MAX: usize = 256 * 1024;

/// What the datagrams that wait may come to for one tenant, per node.
pub const DATAGRAM_BYTES_PER_TENANT_MAX: usize = 4 * 1024 * 1024;

/// What they may come to per node.
pub const DATAGRAM_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a datagram that waits takes beside its bytes.
pub const DATAGRAM_COST_BYTES: usize = 64;

/// Datagrams that are read from a public port in a row before others get their turn.
pub const DATAGRAMS_READ_IN_A_ROW: usize = 64;

/// Pause after reading from a public port has failed.
pub const DATAGRAM_READ_BACKOFF: Duration = Duration::from_millis(100);

/// How often the log tells at most that datagrams of an endpoint were dropped.
pub const DROPS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Prefaces of agents that are checked at once after a pause, per node. Checking one costs two signatures.
pub const AGENT_HANDSHAKES_BURST: u32 = 500;

/// Time for one more. Further agents are told when to come back.
pub const AGENT_HANDSHAKES_INTERVAL: Duration = Duration::from_millis(10);

/// Prefaces from one source address (IPv6: /64) that are checked at once whatever others do.
pub const AGENT_HANDSHAKES_PER_ADDRESS_BURST: u32 = 50;

/// Time for one more of them.
pub const AGENT_HANDSHAKES_PER_ADDRESS_INTERVAL: Duration = Duration::from_millis(100);

/// An address that goes beyond that gets only what leaves so many of [`AGENT_HANDSHAKES_BURST`] to others.
pub const AGENT_HANDSHAKES_LEFT_MIN: u32 = 250;

/// Source addresses whose prefaces are counted; those of further ones count with all.
pub const AGENT_HANDSHAKES_ADDRESSES_MAX: usize = 10_000;

/// Bad signatures that one source address (IPv6: /64) may show at once before nothing from it is checked.
pub const BAD_SIGNATURES_BURST: u32 = 20;

/// Time after which such an address may show one more.
pub const BAD_SIGNATURES_INTERVAL: Duration = Duration::from_secs(3);

/// Source addresses whose bad signatures are remembered.
pub const BAD_SIGNATURES_ADDRESSES_MAX: usize = 10_000;

/// Refreshes of its capability that one session may ask for at once.
pub const REFRESHES_BURST: u32 = 5;

/// Time after which a session may ask for one more.
pub const REFRESHES_INTERVAL: Duration = Duration::from_secs(30);

/// How often memory and descriptors are looked at.
pub const OVERLOAD_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Share of the memory or the descriptors, in hundredths, from which on new work is refused.
pub const SHED_ABOVE_PERCENT: u64 = 85;

/// Share at which it is taken again.
pub const SHED_UNTIL_PERCENT: u64 = 75;

/// What a connection holds at least, in bytes. Who has left has left as much free that the allocator may keep.
pub const CONNECTION_BYTES_MIN: u64 = 16 * 1024;

/// How much less counts as kept by the allocator for each byte that it takes nevertheless: were it of use, it would take
/// none.
pub const GROWTH_WEIGHT: u64 = 4;

/// Agent sessions that may use one capability at a time: as many as an agent may hold, again as many that it has lost and
/// this side has not noticed yet, and twice as many that drain.
pub const SESSIONS_PER_CAPABILITY_MAX: usize = 32;

/// Endpoints bound over one agent session.
pub const BINDS_PER_SESSION_MAX: usize = 64;

/// Agents that serve one endpoint together.
pub const MEMBERS_MAX: usize = 32;

/// How often a member of a pool is probed whose upstream is there, as far as anyone knows: a connection that is closed at
/// once.
pub const PROBE_HEALTHY_EVERY: Duration = Duration::from_secs(5);

/// How many such probes in a row must fail until the member is out. A visitor who finds its upstream gone is enough.
pub const PROBES_FAILED_MAX: u32 = 2;

/// How long such a probe may take. Longer than a busy upstream needs, and shorter than a visitor's patience.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// Probes of healthy members that one node has under way at a time; the others of a round wait.
pub const PROBES_AT_ONCE: usize = 64;

/// How soon a member of a pool whose upstream is not there is probed for the first time.
pub const PROBE_EVERY_MIN: Duration = Duration::from_millis(500);

/// How seldom it is probed in the end: each probe doubles the wait. A member that is back waits this long at most.
pub const PROBE_EVERY_MAX: Duration = Duration::from_secs(5);

/// Sessions of one running agent that serve one endpoint: as many as it may open, and as many again that it has lost and
/// this side has not noticed yet.
pub const TUNNELS_PER_MEMBER_MAX: usize = 16;

/// An exchange that has moved more, both ways together, is bulky: its connection is busy with it for more than a moment.
pub const BULKY_BYTES: usize = 64 * 1024;

/// Exchanges in a row that must have been small before the next ones are taken for small.
pub const SMALL_IN_A_ROW: usize = 64;

/// Small exchanges that share one connection before the next is used: their frames travel together. As many wait for a
/// packet that is lost, unless there are more of them than connections times this.
pub const SMALL_TOGETHER: usize = 64;

/// Removed endpoints that a node remembers, so that nobody serves what was claimed before. Operators remove few.
pub const REMOVED_ENDPOINTS_MAX: usize = 10_000;

/// An agent that owes an answer for so long is passed over while another session does not: its link may be dead, which
/// the heartbeat finds out later. A slow network answers within a second.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);

/// How often a request that waits for its agent looks whether that has fallen silent.
pub const SILENCE_LOOK: Duration = Duration::from_millis(500);

/// Binds that one session may ask for at once: each costs a question to the directory and a look at all routes.
pub const BINDS_BURST: u32 = 128;

/// Time after which a session may ask for one more; sooner it is told to try later.
pub const BINDS_INTERVAL: Duration = Duration::from_millis(250);

/// Endpoints that one session has given back and whose release waits for the directory; of further ones it is not told,
/// and whoever claims them takes them over.
pub const RELEASES_IN_FLIGHT_MAX: usize = BINDS_PER_SESSION_MAX;

/// Claims of one session that wait for the directory at once; further binds are told to try later.
pub const CLAIMS_IN_FLIGHT_MAX: usize = 16;

/// Endpoints whose last claim is remembered, so that their agents come back while the directory is away.
pub const REMEMBERED_CLAIMS_MAX: usize = 20_000;

/// Instances that are remembered for one of them: the members of a pool, and as many that were.
pub const REMEMBERED_INSTANCES_MAX: usize = 2 * MEMBERS_MAX;

/// How long the directory may take for one claim.
pub const CLAIM_DEADLINE: Duration = Duration::from_secs(10);

/// How long opening a public port waits for the listener that it had before to end.
pub const PORT_OPEN_DEADLINE: Duration = Duration::from_secs(5);

/// How soon a public port is opened again whose listener has died of a mistake, and how often that is tried.
pub const PORT_REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// How often the directory hears that the public ports served here are in use: many times while it keeps them.
pub const PORT_RENEWAL_INTERVAL: Duration = Duration::from_hours(6);

/// Commands waiting for one agent session. A session that lets this many pile up is closed.
pub const SESSION_COMMANDS_MAX: usize = 64;

/// From the request being sent to the agent until its upstream accepts the connection.
pub const UPSTREAM_CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// How long an endpoint is held whose agent has vanished: visitors wait for it. After a restart of the node every known
/// endpoint is held for as long.
pub const HOLD_AGENT: Duration = Duration::from_secs(15);

/// How long a visitor waits for an upstream that refuses connections.
pub const HOLD_REFUSED: Duration = Duration::from_secs(5);

/// An upstream that refuses is waited for only if it answered within this time: else it is not restarting, but not there.
pub const UPSTREAM_UP_AGE: Duration = Duration::from_secs(15);

/// How often an upstream that is waited for is tried, by one request for all of its endpoint.
pub const REFUSED_LOOK: Duration = Duration::from_millis(250);

/// How long one visitor waits at most, whatever for and however often.
pub const HOLD_TOTAL: Duration = Duration::from_secs(30);

/// How often a request that was not delivered goes out again: more often than an agent has sessions, each of which may
/// turn out to be dead.
pub const RESENDS_MAX: u32 = 32;

/// Requests and connections that wait for one endpoint; further requests are told to come again, further connections cut.
pub const HELD_PER_ENDPOINT_MAX: usize = 1_000;

/// The same for all endpoints of one tenant, per node.
pub const HELD_PER_TENANT_MAX: usize = 1_250;

/// The same after a restart of the node for all endpoints which no agent has served since: nobody knows yet whose those are.
/// Half of the places stay for tenants whose agents have been here.
pub const HELD_FOR_UNKNOWN_MAX: usize = 2_500;

/// The same on one node, whatever they wait for.
pub const HELD_PER_NODE_MAX: usize = 5_000;

/// What of a request's body is read before the agent has its upstream, and kept so that it can be sent again.
pub const HELD_BODY_BYTES_MAX: usize = adit_wire::limits::EARLY_BYTES_MAX;

/// What is kept of all bodies together. When it is full a body is read no further until the agent has its upstream.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Endpoints that are waited for after a restart of the node; requests for further ones are answered at once.
pub const HELD_ENDPOINTS_MAX: usize = 10_000;

/// A request body that makes no progress for this long is cut.
pub const REQUEST_BODY_IDLE: Duration = Duration::from_secs(75);

/// The longest silence that a plan can allow: before a response and within it, since long polls and event streams are silent
/// for long; in a call of gRPC, in each direction; and on a connection that changed to another protocol.
pub const IDLE_MAX: Duration = Duration::from_mins(30);

/// Idle upstream connections that a tunnel keeps beyond the next sweep.
pub const POOL_IDLE_MAX: usize = 16;

/// Idle upstream connections that a tunnel keeps until the next sweep. Answers come in batches: when 64 visitors are
/// served at once, dozens of connections are idle for a moment before the next batch takes them.
pub const POOL_BURST_MAX: usize = 128;

/// How long an upstream connection may be idle before it is closed: less than most services keep theirs.
pub const POOL_IDLE_AGE: Duration = Duration::from_secs(10);

/// How often idle upstream connections are looked through.
pub const POOL_SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long a request that finds no stream or no memory left waits for those of an idle connection which gives way.
pub const IDLE_GIVES_WAY_DEADLINE: Duration = Duration::from_secs(1);

/// How often it looks whether that is free.
pub const IDLE_GIVES_WAY_LOOK: Duration = Duration::from_millis(2);

/// Host names whose existence is remembered, so that requests for unknown ones do not each ask the directory.
pub const KNOWN_NAMES_MAX: usize = 10_000;

/// How long the existence of a host name is believed.
pub const KNOWN_NAMES_AGE: Duration = Duration::from_secs(2);

/// How long the directory may take to say whether a host name exists.
pub const EXISTS_DEADLINE: Duration = Duration::from_secs(3);

/// Questions whether a host name exists that are at the directory at once; further ones wait, and their time counts.
pub const EXISTS_IN_FLIGHT_MAX: usize = 4;

/// How long one question for changes waits at the directory.
pub const CHANGES_PATIENCE: Duration = Duration::from_secs(2);

/// How much longer than that the directory may take to answer it.
pub const CHANGES_DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait before asking for changes again after a failure.
pub const CHANGES_RETRY: Duration = Duration::from_secs(1);

/// How long a capability may live at most, with the clock skew that nodes allow: a revocation older than this needs no
/// memory, since every capability of that key has expired.
pub const REVOCATION_MEMORY: Duration = Duration::from_hours(25);

/// How long a drain waits for requests in flight before they are cut, if nothing else is set.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long streams may go on in a session that has opened so many that another one takes its place, if nothing else is set.
/// Then it is closed.
pub const ROTATION_DEADLINE: Duration = Duration::from_mins(30);

/// Bytes of a request's path in the access log; more of it is cut off there. Of a line that is too long nothing is written.
pub const ACCESS_PATH_BYTES_MAX: usize = 1024;

/// Bytes of a request's method in the access log.
pub const ACCESS_METHOD_BYTES_MAX: usize = 32;

/// What a refused agent is told to wait, at least, when the node is too busy or leaving.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a revoked session waits for room to tell its agent; then it ends without a word.
pub const REVOKED_GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// How long agent sessions may take to say goodbye.
pub const SESSIONS_END_DEADLINE: Duration = Duration::from_secs(2);

/// Memory that the smallest exchange over HTTP takes: its stream, and a head or as much of a body each way.
pub const EXCHANGE_BYTES_MIN: usize =
    adit_mux::limits::STREAM_BYTES_RESERVED + 2 * adit_web::limits::BUFFER_BYTES_MAX;

/// Memory for streams and for what HTTP holds of them, however much there is: 5,825 exchanges over HTTP/1, and one tenant that
/// is alone has half of it.
pub const STREAM_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Share of the process's memory, in hundredths, that they may have where that is less.
pub const STREAMS_OF_MEMORY_PERCENT: u64 = 50;

/// Endpoints whose traffic is counted at once: those that are served, and those that were until their hour is over. A
/// bind beyond is told to try later, for what cannot be counted is not served.
pub const METERED_ENDPOINTS_MAX: usize = 20_000;

/// Rows of usage that wait for the control plane, beyond which no new hour is begun: what passes still counts, in the
/// hours that are there.
pub const USAGE_ROWS_KEPT_MAX: usize = 20_000;

/// How often usage is written down. With [`USAGE_REPORT_DEADLINE`] and the time that a disk takes, a node that is killed
/// loses less than ten seconds of it.
pub const USAGE_WRITE_INTERVAL: Duration = Duration::from_secs(4);

/// How long the control plane may take for the usage of one round; what it has not confirmed is reported again.
pub const USAGE_REPORT_DEADLINE: Duration = Duration::from_secs(4);

/// How long the disk may take for one file of usage. A slower one is tried again in the next round: what a killed
/// process leaves does not wait for it.
pub const SPOOL_DEADLINE: Duration = Duration::from_secs(2);

/// How long reading what earlier processes left may take at the start.
pub const SPOOL_OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// Largest file of usage that is read, in bytes: several times what the rows that may wait come to.
pub const SPOOL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long the last round of usage may take when a node ends.
pub const USAGE_LAST_DEADLINE: Duration = Duration::from_secs(5);
