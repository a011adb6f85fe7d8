//! What may differ between sessions.

use std::time::Duration;

use crate::{budget::Budget, limits};

/// Settings of one session. [`Config::default`] is what production uses, apart from what the preface agreed on; each
/// call of it makes a [`Budget`] of its own.
#[derive(Debug, Clone)]
pub struct Config {
    /// Streams open at once, the control stream apart. Values above [`limits::STREAMS_MAX`] count as that.
    pub streams_max: usize,
    /// Silence after which a ping is sent.
    pub heartbeat_idle: Duration,
    /// Silence after which the peer is dead. Must be longer than `heartbeat_idle`.
    pub heartbeat_dead: Duration,
    /// How long `open` waits for yamux.
    pub open_deadline: Duration,
    /// How long an accepted stream may take to show its header.
    pub header_deadline: Duration,
    /// How long the connection may take none of the bytes that wait for it.
    pub write_stall: Duration,
    /// How long a connection that was closed in order waits for the peer to close it, too.
    pub linger: Duration,
    /// Streams after which [`crate::Session::retiring`] says that another session should take the place of this one.
    pub streams_opened_in_all: u64,
    /// Memory for streams. Clones of this configuration share it, so one process has one.
    pub budget: Budget,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams_max: limits::STREAMS_MAX,
            heartbeat_idle: limits::HEARTBEAT_IDLE,
            heartbeat_dead: limits::HEARTBEAT_DEAD,
            open_deadline: limits::OPEN_DEADLINE,
            header_deadline: limits::HEADER_DEADLINE,
            write_stall: limits::WRITE_STALL,
            linger: limits::LINGER,
            streams_opened_in_all: limits::STREAMS_OPENED_IN_ALL,
            budget: Budget::new(limits::STREAM_BYTES_MAX),
        }
    }
}

impl Config {
    /// Most streams that this side opens.
    pub(crate) fn streams_opened_max(&self) -> usize {
        self.streams_max.min(limits::STREAMS_MAX)
    }

    /// Most streams that this side accepts: a little more, see [`limits::STREAMS_SLACK`].
    pub(crate) fn streams_accepted_max(&self) -> usize {
        self.streams_opened_max().saturating_add(limits::STREAMS_SLACK)
    }
}

/// yamux's configuration. Its setters assert that the window covers every stream, so the window is lifted first.
pub(crate) fn yamux_config() -> yamux::Config {
    let floor = limits::YAMUX_STREAMS_MAX.saturating_mul(yamux::DEFAULT_CREDIT as usize);
    let mut config = yamux::Config::default();
    config
        .set_max_connection_receive_window(None)
        .set_max_num_streams(limits::YAMUX_STREAMS_MAX)
        .set_max_connection_receive_window(Some(floor.saturating_add(limits::YAMUX_HEADROOM_BYTES)))
        .set_split_send_size(limits::FRAME_BODY_BYTES_SENT_MAX)
        .set_read_after_close(true);
    config
}

#[cfg(test)]
mod tests {
    use super::{Config, yamux_config};
    use crate::limits::{STREAMS_MAX, STREAMS_SLACK};

    #[test]
    fn the_setters_of_yamux_do_not_assert() {
        let _ = yamux_config();
    }

    #[test]
    fn the_gate_is_never_above_the_limit() {
        for (asked, opened) in [
            (0, 0),
            (STREAMS_MAX - 1, STREAMS_MAX - 1),
            (STREAMS_MAX, STREAMS_MAX),
            (STREAMS_MAX + 1, STREAMS_MAX),
        ] {
            let config = Config { streams_max: asked, ..Config::default() };
            assert_eq!(config.streams_opened_max(), opened);
            assert_eq!(config.streams_accepted_max(), opened + STREAMS_SLACK);
        }
    }
}
