//! How much an HTTP/2 peer may ask for that brings nobody anything.
//!
//! A frame that carries no request and no byte still costs this side work: a request begun and dropped, an answer, a look
//! at a table. Each such frame costs points. The account refills with time and with each frame of an answer that the peer
//! takes, so that whoever really uses the connection never feels it, and a flood ends the connection it comes over. Both
//! ends of a connection keep such an account of the other.

use tokio::time::Instant;

use crate::frames::{
    CONTINUATION, DATA, Frames, HEADERS, Head, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, enhance_your_calm,
};
use crate::limits::{
    H2_CONTINUATION_POINTS, H2_IDLE_TALK_POINTS, H2_OTHER_FRAME_POINTS, H2_PING_POINTS, H2_POINTS_MAX,
    H2_POINTS_PER_ANSWER, H2_POINTS_PER_REQUEST, H2_POINTS_PER_S, H2_RESET_POINTS, H2_RESPONSE_HEAD_POINTS,
    H2_SETTINGS_POINTS, H2_WINDOW_UPDATE_POINTS,
};

/// Bytes that stand before a peer's first frame (RFC 9113 section 3.4).
const PREFACE_BYTES: u32 = 24;

/// The account of one connection.
pub(crate) struct Flood {
    incoming: Frames,
    outgoing: Frames,
    side: Side,
    points: u32,
    filled_at: Instant,
    /// The last stream that the peer has begun.
    stream: u32,
    /// Whether this side's SETTINGS, or the head of them, are out.
    has_spoken: bool,
}

/// Which end of the connection keeps the account.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

impl Flood {
    /// That of a visitor's connection.
    pub(crate) fn of_server(now: Instant) -> Self {
        Self::new(Side::Server, (PREFACE_BYTES, 0), now)
    }

    /// That of a connection to an upstream.
    pub(crate) fn of_client(now: Instant) -> Self {
        Self::new(Side::Client, (0, PREFACE_BYTES), now)
    }

    fn new(side: Side, (incoming, outgoing): (u32, u32), now: Instant) -> Self {
        Self {
            incoming: Frames::after(incoming),
            outgoing: Frames::after(outgoing),
            side,
            points: H2_POINTS_MAX,
            filled_at: now,
            stream: 0,
            has_spoken: false,
        }
    }

    /// The peer sent these bytes. Whether it may go on.
    #[must_use]
    pub(crate) fn read(&mut self, bytes: &[u8], now: Instant) -> bool {
        let (mut spent, mut stream) = (0_u32, self.stream);
        let side = self.side;
        self.incoming.feed(bytes, |head| {
            spent = spent.saturating_add(price(head, side));
            if head.kind == HEADERS {
                stream = stream.max(head.stream);
            }
        });
        self.stream = stream;
        if spent > 0 {
            self.refill(now);
        }
        let left = self.points.checked_sub(spent);
        self.points = left.unwrap_or(0);
        left.is_some()
    }

    /// The peer took these bytes.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) {
        let (mut earned, side) = (0_u32, self.side);
        self.outgoing.feed(bytes, |head| {
            earned = earned.saturating_add(match head.kind {
                HEADERS if side == Side::Client => H2_POINTS_PER_REQUEST,
                DATA | HEADERS if head.body_bytes > 0 => H2_POINTS_PER_ANSWER,
                _ => 0,
            });
        });
        self.points = self.points.saturating_add(earned).min(H2_POINTS_MAX);
        self.has_spoken |= !bytes.is_empty();
    }

    /// What a server tells a peer that may not go on: nothing, if it would stand in the middle of another frame.
    pub(crate) fn farewell(&self) -> Option<Vec<u8>> {
        (self.has_spoken && self.outgoing.is_between()).then(|| enhance_your_calm(self.stream))
    }

    fn refill(&mut self, now: Instant) {
        let seconds =
            u32::try_from(now.saturating_duration_since(self.filled_at).as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.filled_at = now;
            let earned = seconds.saturating_mul(H2_POINTS_PER_S);
            self.points = self.points.saturating_add(earned).min(H2_POINTS_MAX);
        }
    }
}

fn price(head: Head, side: Side) -> u32 {
    match head.kind {
        HEADERS if side == Side::Client => H2_RESPONSE_HEAD_POINTS,
        // More requests than may be served at once are refused by stream limits, more bytes by windows.
        HEADERS => 0,
        DATA => {
            if head.is_idle_talk() {
                H2_IDLE_TALK_POINTS
            } else {
                0
            }
        }
        PING | SETTINGS if head.is_ack() => 0,
        PING => H2_PING_POINTS,
        SETTINGS => H2_SETTINGS_POINTS,
        RST_STREAM => H2_RESET_POINTS,
        CONTINUATION => H2_CONTINUATION_POINTS,
        WINDOW_UPDATE => H2_WINDOW_UPDATE_POINTS,
        // PRIORITY, and what is not known.
        _ => H2_OTHER_FRAME_POINTS,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "tests")]

    use std::time::Duration;

    use tokio::time::Instant;

    use super::Flood;
    use crate::limits::{
        H2_CONTINUATION_POINTS, H2_IDLE_TALK_POINTS, H2_OTHER_FRAME_POINTS, H2_PING_POINTS, H2_POINTS_MAX,
        H2_POINTS_PER_ANSWER, H2_POINTS_PER_REQUEST, H2_POINTS_PER_S, H2_RESET_POINTS,
        H2_RESPONSE_HEAD_POINTS, H2_SETTINGS_POINTS, H2_WINDOW_UPDATE_POINTS,
    };

    const RESET: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
    const ANSWER: &[u8] = b"\0\0\x01\0\0\0\0\0\x01a";
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// How many resets in a row are taken now.
    fn resets(flood: &mut Flood, now: Instant) -> u32 {
        let mut taken = 0;
        while flood.read(RESET, now) {
            taken += 1;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn the_account_is_empty_at_its_bound_and_refills() {
        let now = Instant::now();
        let mut flood = Flood::of_server(now);
        assert!(flood.read(PREFACE, now));
        assert_eq!(resets(&mut flood, now), H2_POINTS_MAX / H2_RESET_POINTS);
        let later = now + Duration::from_secs(3);
        assert_eq!(resets(&mut flood, later), 3 * H2_POINTS_PER_S / H2_RESET_POINTS);
        assert_eq!(resets(&mut flood, later + Duration::from_millis(999)), 0);
        let much_later = later + Duration::from_hours(1);
        assert_eq!(resets(&mut flood, much_later), H2_POINTS_MAX / H2_RESET_POINTS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_costs_its_points_and_the_last_one_that_is_paid_for_is_taken() {
        let now = Instant::now();
        let rows: [(&[u8], u32); 7] = [
            (b"\0\0\x08\x06\0\0\0\0\0aaaaaaaa", H2_PING_POINTS),
            (b"\0\0\0\x04\0\0\0\0\0", H2_SETTINGS_POINTS),
            (RESET, H2_RESET_POINTS),
            (b"\0\0\0\x09\0\0\0\0\x01", H2_CONTINUATION_POINTS),
            (b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01", H2_WINDOW_UPDATE_POINTS),
            (b"\0\0\0\0\0\0\0\0\x01", H2_IDLE_TALK_POINTS),
            (b"\0\0\x05\x02\0\0\0\0\x03\0\0\0\0\x01", H2_OTHER_FRAME_POINTS),
        ];
        for (frame, points) in rows {
            let mut flood = Flood::of_server(now);
            assert!(flood.read(PREFACE, now));
            for n in 0..H2_POINTS_MAX / points {
                assert!(flood.read(frame, now), "{frame:?} {n}");
            }
            assert!(!flood.read(frame, now), "{frame:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_pays_for_heads_and_each_request_brings_it_two() {
        const HEAD: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88";
        const ASKS: &[u8] = b"\0\0\0\x01\x05\0\0\0\x01";
        let now = Instant::now();
        let heads = |flood: &mut Flood| (0..100).take_while(|_| flood.read(HEAD, now)).count();
        let in_all = usize::try_from(H2_POINTS_MAX / H2_RESPONSE_HEAD_POINTS).unwrap_or_default();
        let of_one = usize::try_from(H2_POINTS_PER_REQUEST / H2_RESPONSE_HEAD_POINTS).unwrap_or_default();
        let mut flood = Flood::of_client(now);
        flood.wrote(PREFACE);
        assert_eq!(heads(&mut flood), in_all);
        flood.wrote(ASKS);
        assert_eq!((heads(&mut flood), of_one), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_between_two_frames_only() {
        let now = Instant::now();
        let mut flood = Flood::of_server(now);
        assert!(flood.read(PREFACE, now));
        // SETTINGS come first.
        assert_eq!(flood.farewell(), None);
        assert!(flood.read(b"\0\0\0\x01\x05\0\0\0\x07", now));
        let (most, last) = ANSWER.split_at(ANSWER.len() - 1);
        for byte in most {
            flood.wrote(&[*byte]);
            assert_eq!(flood.farewell(), None);
        }
        flood.wrote(last);
        let told = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x07\0\0\0\x0b";
        assert_eq!(flood.farewell().as_deref(), Some(&told[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_taken_pay() {
        let now = Instant::now();
        let mut flood = Flood::of_server(now);
        assert!(flood.read(PREFACE, now));
        let answers = H2_RESET_POINTS.div_ceil(H2_POINTS_PER_ANSWER);
        for _ in 0..10 * H2_POINTS_MAX / H2_RESET_POINTS {
            assert!(flood.read(RESET, now));
            for _ in 0..answers {
                flood.wrote(ANSWER);
            }
        }
        assert_eq!(
            resets(&mut flood, now),
            H2_POINTS_MAX / H2_RESET_POINTS,
            "it never holds more than at first"
        );
    }
}
