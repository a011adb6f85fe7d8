//! Every bound of this crate, with the reason for its size.

use std::time::Duration;

/// Streams that one session may have open at once, the control stream apart. Enforced by our own gate: reaching
/// yamux's limit would end the whole connection, ours answers `Full` to one caller.
pub const STREAMS_MAX: usize = 1_000;

/// Streams beyond [`STREAMS_MAX`] that the accepting side still takes. A stream is gone at the opener a little before
/// it is gone at the acceptor, so the acceptor sees more of them than the opener ever had.
pub const STREAMS_SLACK: usize = 256;

/// yamux's own limit on both sides, counting both directions. Only a number: nothing is allocated for it. It lies far
/// above what our gate lets through, because yamux answers one stream too many by ending the connection.
pub const YAMUX_STREAMS_MAX: usize = 4_096;

/// What yamux's windows may grow by, all streams of a connection together. Only a number: what a peer may send is bounded
/// by our own credit, which is smaller, and yamux's window must not be what slows a stream down.
pub const YAMUX_HEADROOM_BYTES: usize = 256 * 1024 * 1024;

/// Memory for the streams of a process, if nothing else is set: 5,041 streams, or fewer with wide
/// windows.
pub const STREAM_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Memory for the streams of one session: all that it may have open, and 64 MiB for windows that grow. Growth stops at
/// half of it.
pub const SESSION_STREAM_BYTES_MAX: usize = 2 * (STREAMS_MAX + STREAMS_SLACK) * STREAM_BYTES_RESERVED;

/// Memory that is set aside for a stream before it is opened: the credit that the peer has from the start, and
/// [`QUEUE_FRAMES_SHARED`] frames and a record on their way out. A stream that has its connection for itself may have more on
/// its way, up to [`QUEUE_FRAMES_ALONE`] frames and [`RECORDS_READ_ALONE`] records; there are as few of them as sessions.
pub const STREAM_BYTES_RESERVED: usize = adit_wire::limits::INITIAL_CREDIT_BYTES + 2 * TLS_RECORD_BYTES;

/// The widest window of a stream: 1.3 Gbit/s at 100 ms.
pub const WINDOW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The widest window of a stream whose peer is near. What a visitor who stalls makes us hold in a network without
/// delay; enough for 2 GB/s there.
pub const WINDOW_NEAR_BYTES_MAX: usize = 256 * 1024;

/// The same of the only stream of its session. It is in nobody's way, and each program on its way to the visitor can work for
/// longer before the next one must be given a processor.
pub const WINDOW_NEAR_ALONE_BYTES_MAX: usize = 1024 * 1024;

/// A peer whose round trip is not longer is near: wider windows would make queues longer and nothing faster.
pub const NEAR_ROUND_TRIP_MAX: Duration = Duration::from_millis(1);

/// How much must have been read of a stream before its window grows though the peer is near. More than the sockets of a
/// visitor swallow who asks for much and reads nothing.
pub const NEAR_GROWTH_AFTER_BYTES: u64 = 8 * 1024 * 1024;

/// The fastest line that a window grows for, in bytes per microsecond: 10 Gbit/s.
pub const LINE_BYTES_PER_US: usize = 1_250;

/// What the peer may have sent on the control stream or the credit stream without our having read it, counted like
/// credit. We read both at once, unless the peer itself does not take our answers or sends more than anybody has to say.
pub const SERVICE_UNREAD_BYTES_MAX: usize = 512 * 1024;

/// Encoded credit that waits for yamux. The rest waits at its streams.
pub const CREDIT_UNSENT_BYTES_MAX: usize = 4 * 1024;

/// Frames of one stream that wait for the connection while it is blocked or other streams are busy.
pub const QUEUE_FRAMES_SHARED: usize = 2;

/// Frames of one stream that wait for the connection while it has it for itself: as many as yamux queues.
pub const QUEUE_FRAMES_ALONE: usize = 12;

/// Streams that one session opens before it asks to be replaced: half of the ids that yamux has. At 10,000 a second that
/// is after 30 hours, and as long is left for moving.
pub const STREAMS_OPENED_IN_ALL: u64 = 1 << 30;

/// How long a connection may take none of the bytes that wait for it.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

/// Room for datagrams that an idle stream keeps: what most networks carry in one piece.
pub const DATAGRAM_BYTES_KEPT: usize = 2 * 1024;

/// Datagrams that one flow moves in each direction before others get their turn.
pub const DATAGRAMS_IN_A_ROW: usize = 64;

/// Plaintext of one full TLS record (RFC 8446 section 5.1).
pub const TLS_RECORD_BYTES: usize = 16_384;

/// Header of a yamux frame.
pub const FRAME_HEADER_BYTES: usize = 12;

/// Largest frame body that we send: with its header exactly one TLS record.
pub const FRAME_BODY_BYTES_SENT_MAX: usize = TLS_RECORD_BYTES - FRAME_HEADER_BYTES;

/// Largest frame body that we take. yamux would allocate up to 1 MiB on the word of a header.
pub const FRAME_BODY_BYTES_TAKEN_MAX: usize = 64 * 1024;

/// Data in one record while its stream is the only busy one: frame and record header make it one TLS record.
pub const RECORD_DATA_BYTES_ALONE: usize = FRAME_BODY_BYTES_SENT_MAX - RECORD_HEADER_BYTES;

/// Frames that make one TLS record while several streams are busy.
pub const FRAMES_PER_TLS_RECORD_SHARED: usize = 2;

/// Data in one record while several streams are busy. Smaller ones let others through sooner on a slow line, and cost a
/// read and a frame each.
pub const RECORD_DATA_BYTES_SHARED: usize =
    TLS_RECORD_BYTES / FRAMES_PER_TLS_RECORD_SHARED - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES;

/// Records that are read at once from a socket while its stream is the only busy one and has the credit for them: as many as
/// gather for one write to the connection.
pub const RECORDS_READ_ALONE: usize = COALESCED_BYTES_MAX / TLS_RECORD_BYTES;

/// Frames of a stream that are passed on to a socket in one write.
pub const FRAMES_PASSED_ON_MAX: usize = 4;

/// Header of a record.
pub const RECORD_HEADER_BYTES: usize = 4;

/// Bytes that wait for one write to the connection: four full TLS records.
pub const COALESCED_BYTES_MAX: usize = 4 * TLS_RECORD_BYTES;

/// How often a flush waits for other streams to write though it was in vain the last time.
pub const GATHER_PROBE_ROUNDS: u32 = 16;

/// Control frames that wait in each direction between the driver and the owner of `Control`.
pub const CONTROL_QUEUE_FRAMES: usize = 32;

/// Encoded control frames that wait for yamux. Above it the driver takes no further frame from either side, so a peer
/// that pings without reading stalls only itself.
pub const CONTROL_UNSENT_BYTES_MAX: usize = 16 * 1024;

/// Without a byte for this long, a ping is sent.
pub const HEARTBEAT_IDLE: Duration = Duration::from_secs(10);

/// Without a byte for this long, the peer is dead.
pub const HEARTBEAT_DEAD: Duration = Duration::from_secs(15);

/// How long `open` waits for yamux: it hands out no stream while 256 of them are unanswered.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long an accepted stream may take to show its whole header.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(5);

/// How long the server waits for the agent's control stream.
pub const CONTROL_OPEN_DEADLINE: Duration = Duration::from_secs(5);

/// How long `ControlSender::send` waits for room in the queue.
pub const CONTROL_SEND_DEADLINE: Duration = Duration::from_secs(10);

/// How long a closing connection may take to send what is queued.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// How long a connection that we have closed in order waits for the peer to close it, too. A socket that is closed while the
/// peer still sends resets the connection, and with it what the peer has not read yet.
pub const LINGER: Duration = Duration::from_millis(500);

/// How long the remaining direction of a half-closed stream may be silent.
pub const HALF_CLOSED_IDLE: Duration = Duration::from_mins(1);

/// How long the socket under a pump may take none of the bytes that wait for it. Whoever pauses a download for a while goes on;
/// whoever never reads again does not keep a stream, a socket and a place for ever, though TCP's keepalive is answered.
pub const SOCKET_STALL: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::{
        COALESCED_BYTES_MAX, FRAME_BODY_BYTES_SENT_MAX, FRAME_HEADER_BYTES, FRAMES_PER_TLS_RECORD_SHARED,
        RECORD_DATA_BYTES_ALONE, RECORD_DATA_BYTES_SHARED, RECORD_HEADER_BYTES, STREAMS_MAX, STREAMS_SLACK,
        TLS_RECORD_BYTES, YAMUX_STREAMS_MAX,
    };

    #[test]
    fn frames_tile_tls_records() {
        assert_eq!(FRAME_BODY_BYTES_SENT_MAX, 16_372);
        assert_eq!(RECORD_DATA_BYTES_ALONE, 16_368);
        assert_eq!(RECORD_DATA_BYTES_SHARED, 8_176);
        let overhead = FRAME_HEADER_BYTES + RECORD_HEADER_BYTES;
        assert_eq!(RECORD_DATA_BYTES_ALONE + overhead, TLS_RECORD_BYTES);
        assert_eq!((RECORD_DATA_BYTES_SHARED + overhead) * FRAMES_PER_TLS_RECORD_SHARED, TLS_RECORD_BYTES);
        assert_eq!(COALESCED_BYTES_MAX % TLS_RECORD_BYTES, 0);
    }

    #[test]
    fn the_gates_lie_below_yamux() {
        const { assert!((STREAMS_MAX + STREAMS_SLACK) * 2 < YAMUX_STREAMS_MAX) }
    }
}
