//! Every bound of this crate. The structs carry them so that tests can inject small values; their
//! defaults are the constants.

use std::time::Duration;

/// A visitor's request head must be complete this long after its first byte, and the first byte of a new
/// connection must arrive within the same time.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// A connection between two requests is closed after this time.
pub const IDLE: Duration = Duration::from_secs(75);

/// How long an HTTP/1 connection keeps its buffers while nothing is on its way. They are most of its memory; who waits longer
/// than this between two requests does not notice the microseconds that new ones take.
pub const REST_AFTER: Duration = Duration::from_millis(100);
/// A visitor who has ended its side of an HTTP/1 connection, which may mean that nobody is there any more, is waited for this
/// long: each byte of the answer that it takes renews the time.
pub const HALF_CLOSED_IDLE: Duration = Duration::from_mins(1);
/// A connection whose peer takes none of the bytes waiting for it is cut after this time, an HTTP/2 stream reset.
pub const WRITE_STALL: Duration = Duration::from_mins(1);
/// How long a connection that was answered early is still read from, so that its peer sees the answer.
pub const LINGER_DEADLINE: Duration = Duration::from_secs(5);
/// How many bytes are thrown away meanwhile.
pub const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many of them are read at once.
pub const LINGER_READ_BYTES: usize = 4 * 1024;
/// Bytes of a request head, request line included (HTTP/1), or of a decoded header list (HTTP/2).
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header fields of one head.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a request target.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Bytes that one HTTP/1 connection buffers each way: the largest head and a little more. For a visitor who asks for much
/// and reads nothing they are held twice, as what was read of the upstream and as what waits for the visitor.
pub const BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX + 8 * 1024;
/// Concurrent streams of one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 100;
/// Receive window of one HTTP/2 stream, bytes.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Receive window of one HTTP/2 connection, bytes.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes that one HTTP/2 stream buffers for sending.
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a response that an HTTP/2 stream is handed at once. Its reader is taken for gone when it takes less than this within
/// [`WRITE_STALL`].
pub const H2_PIECE_BYTES: usize = 16 * 1024;
/// Payload of one HTTP/2 frame that is accepted, bytes.
pub const H2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// A PING is sent on an HTTP/2 connection after this time without a frame.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// An HTTP/2 connection whose PING stays unanswered this long is cut.
pub const H2_PING_DEADLINE: Duration = Duration::from_secs(20);
/// Streams reset by the peer that wait to be accepted; beyond it the connection ends (rapid reset).
pub const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams of one HTTP/2 connection that this side has reset for the peer's faults; beyond it the connection ends
/// (`MadeYouReset`).
pub const H2_FAULTY_STREAMS_MAX: usize = 256;
/// Points that an HTTP/2 peer holds at most, and at first. Frames that bring nobody anything cost points; without points
/// the connection ends.
pub const H2_POINTS_MAX: u32 = 10_000;
/// Points that come back in a second.
pub const H2_POINTS_PER_S: u32 = 1_000;
/// Points that come back with each frame of a response that the peer takes: clients that measure the path ping for
/// every few.
pub const H2_POINTS_PER_ANSWER: u32 = 10;
/// Points that come back with each request that an upstream is sent: enough for its final head and its trailers.
pub const H2_POINTS_PER_REQUEST: u32 = 2 * H2_RESPONSE_HEAD_POINTS;
/// Points of an upstream's HEADERS: interim responses (1xx) are kept until the final one.
pub const H2_RESPONSE_HEAD_POINTS: u32 = 500;
/// Points of `RST_STREAM`: a request was begun for nothing (rapid reset). 200 at once, 20 per second.
pub const H2_RESET_POINTS: u32 = 50;
/// Points of SETTINGS, apart from answers to ours.
pub const H2_SETTINGS_POINTS: u32 = 50;
/// Points of CONTINUATION: a head within its bound needs at most three.
pub const H2_CONTINUATION_POINTS: u32 = 50;
/// Points of PING, apart from answers to ours.
pub const H2_PING_POINTS: u32 = 10;
/// Points of DATA that brings nothing and does not end its stream.
pub const H2_IDLE_TALK_POINTS: u32 = 10;
/// Points of `WINDOW_UPDATE`.
pub const H2_WINDOW_UPDATE_POINTS: u32 = 1;
/// Points of PRIORITY and of frames that are not known.
pub const H2_OTHER_FRAME_POINTS: u32 = 5;

/// Bounds of one served connection.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// See [`HEAD_DEADLINE`].
    pub head_deadline: Duration,
    /// See [`IDLE`].
    pub idle: Duration,
    /// See [`REST_AFTER`].
    pub rest_after: Duration,
    /// See [`HALF_CLOSED_IDLE`].
    pub half_closed_idle: Duration,
    /// See [`WRITE_STALL`].
    pub write_stall: Duration,
    /// See [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// See [`HEADERS_MAX`].
    pub headers_max: usize,
    /// See [`H2_STREAMS_MAX`].
    pub h2_streams_max: u32,
    /// See [`H2_PING_INTERVAL`].
    pub h2_ping_interval: Duration,
    /// See [`H2_PING_DEADLINE`].
    pub h2_ping_deadline: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            head_deadline: HEAD_DEADLINE,
            idle: IDLE,
            rest_after: REST_AFTER,
            half_closed_idle: HALF_CLOSED_IDLE,
            write_stall: WRITE_STALL,
            head_bytes_max: HEAD_BYTES_MAX,
            headers_max: HEADERS_MAX,
            h2_streams_max: H2_STREAMS_MAX,
            h2_ping_interval: H2_PING_INTERVAL,
            h2_ping_deadline: H2_PING_DEADLINE,
        }
    }
}

/// Bytes of interim responses that wait to be written on one connection; more of them are left out.
pub const INTERIM_BYTES_MAX: usize = 16 * 1024;

/// Interim (1xx) responses before a final one.
pub const INFORMATIONAL_MAX: u32 = 8;

/// Bounds of one exchange with an upstream.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Bytes of a response head; see [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// Header fields of a response head; see [`HEADERS_MAX`].
    pub headers_max: usize,
    /// See [`INFORMATIONAL_MAX`].
    pub informational_max: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: HEAD_BYTES_MAX,
            headers_max: HEADERS_MAX,
            informational_max: INFORMATIONAL_MAX,
        }
    }
}
