//! How much the peer may send on one stream beyond what has been read of it.

use std::time::Duration;

use adit_wire::limits::{DATAGRAM_CREDIT_BYTES, INITIAL_CREDIT_BYTES};

use crate::{
    limits::{
        LINE_BYTES_PER_US, NEAR_GROWTH_AFTER_BYTES, NEAR_ROUND_TRIP_MAX, WINDOW_BYTES_MAX,
        WINDOW_NEAR_ALONE_BYTES_MAX, WINDOW_NEAR_BYTES_MAX,
    },
    shared::Seat,
};

/// A stream starts with the credit that the protocol gives it. Its window grows when the peer has used it up while the
/// reader waited for more: then nothing but the window was in the way. A reader that is slower than its peer never waits,
/// and what it makes us hold stays small.
#[derive(Debug)]
pub(crate) struct Window {
    bytes: usize,
    /// Read, and not given back yet.
    owed: usize,
    /// How much may be owed at most, if the window is to leave room for something.
    owed_max: usize,
    /// Read since the stream began.
    taken: u64,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { bytes: INITIAL_CREDIT_BYTES, owed: 0, owed_max: usize::MAX, taken: 0 }
    }

    /// The peer begins a datagram only if it may send all of it.
    pub(crate) fn keep_room_for_datagrams(&mut self) {
        self.owed_max = INITIAL_CREDIT_BYTES.saturating_sub(DATAGRAM_CREDIT_BYTES);
    }

    /// Frames that cost so much have been read to their ends.
    pub(crate) fn read(&mut self, cost: usize, seat: &Seat) {
        self.owed = self.owed.saturating_add(cost);
        self.taken = self.taken.saturating_add(u64::try_from(cost).unwrap_or(u64::MAX));
        if self.owed > 0 && self.owed >= self.owed_max.min(self.bytes / 4) {
            self.shrink_if_short(seat);
            self.give(seat);
        }
    }

    /// The reader waits, and nothing is here.
    pub(crate) fn ran_dry(&mut self, seat: &Seat) {
        if !seat.parked().is_wanted() {
            return;
        }
        let is_alone = seat.shared().streams() == 1;
        let near_max = if is_alone { WINDOW_NEAR_ALONE_BYTES_MAX } else { WINDOW_NEAR_BYTES_MAX };
        let wider = widened((self.bytes, near_max), self.taken, seat.shared().line.round_trip());
        let growth = wider.saturating_sub(self.bytes);
        if growth > 0 && seat.parked().grow(growth) {
            seat.parked().was_given();
            self.bytes = wider;
            self.owed = self.owed.saturating_add(growth);
            self.give(seat);
        }
    }

    fn give(&mut self, seat: &Seat) {
        if self.owed > 0 {
            seat.give(std::mem::take(&mut self.owed));
        }
    }

    /// Keeps what was read instead of giving it back, as far as the window has grown.
    fn shrink_if_short(&mut self, seat: &Seat) {
        let grown = self.bytes.saturating_sub(INITIAL_CREDIT_BYTES);
        if grown > 0 && seat.parked().is_memory_short() {
            let kept = grown.min(self.owed);
            self.bytes = self.bytes.saturating_sub(kept);
            self.owed = self.owed.saturating_sub(kept);
            seat.parked().shrink(kept);
        }
    }
}

/// The next window for a reader that waits. What a line can hold is its speed times its round trip; where that is little,
/// only queues would grow, and only a long transfer is worth the memory, up to `near_max`.
fn widened((window, near_max): (usize, usize), taken: u64, round_trip: Option<Duration>) -> usize {
    let round_trip = round_trip.unwrap_or_default();
    let is_near = round_trip <= NEAR_ROUND_TRIP_MAX;
    if is_near && taken < NEAR_GROWTH_AFTER_BYTES {
        return window;
    }
    let us = usize::try_from(round_trip.as_micros()).unwrap_or(usize::MAX);
    let held_by_line = us.saturating_mul(LINE_BYTES_PER_US);
    let most = held_by_line.clamp(near_max, WINDOW_BYTES_MAX);
    window.saturating_mul(4).min(most).max(window)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::widened;
    use crate::limits::{
        NEAR_GROWTH_AFTER_BYTES, NEAR_ROUND_TRIP_MAX, WINDOW_BYTES_MAX, WINDOW_NEAR_ALONE_BYTES_MAX,
        WINDOW_NEAR_BYTES_MAX,
    };

    const K: usize = 1024;

    /// Of one stream of several.
    fn near(window: usize, taken: u64, round_trip: Option<Duration>) -> usize {
        widened((window, WINDOW_NEAR_BYTES_MAX), taken, round_trip)
    }

    #[test]
    fn a_near_peer_gets_a_little_more_after_a_while() {
        for round_trip in [None, Some(Duration::from_micros(80)), Some(Duration::from_millis(1))] {
            assert_eq!(near(64 * K, NEAR_GROWTH_AFTER_BYTES - 1, round_trip), 64 * K);
            assert_eq!(near(64 * K, NEAR_GROWTH_AFTER_BYTES, None), WINDOW_NEAR_BYTES_MAX);
        }
        let a_moment = Duration::from_micros(1);
        for (round_trip, is_near) in [
            (NEAR_ROUND_TRIP_MAX.saturating_sub(a_moment), true),
            (NEAR_ROUND_TRIP_MAX, true),
            (NEAR_ROUND_TRIP_MAX + a_moment, false),
        ] {
            assert_eq!(near(64 * K, 0, Some(round_trip)) == 64 * K, is_near, "{round_trip:?}");
        }
        assert_eq!(near(WINDOW_NEAR_BYTES_MAX, u64::MAX, None), WINDOW_NEAR_BYTES_MAX);
        let alone = |window| widened((window, WINDOW_NEAR_ALONE_BYTES_MAX), u64::MAX, None);
        assert_eq!(alone(WINDOW_NEAR_ALONE_BYTES_MAX / 4 - 1), WINDOW_NEAR_ALONE_BYTES_MAX - 4);
        assert_eq!(alone(WINDOW_NEAR_ALONE_BYTES_MAX / 4), WINDOW_NEAR_ALONE_BYTES_MAX);
        assert_eq!(alone(WINDOW_NEAR_ALONE_BYTES_MAX / 4 + 1), WINDOW_NEAR_ALONE_BYTES_MAX);
    }

    #[test]
    fn a_far_peer_gets_what_the_line_can_hold() {
        let far = Some(Duration::from_millis(100));
        let mut window = 64 * K;
        let mut steps = Vec::new();
        while near(window, 0, far) > window {
            window = near(window, 0, far);
            steps.push(window / K);
        }
        assert_eq!(steps, [256, 1_024, 4_096, WINDOW_BYTES_MAX / K]);
        let five = Some(Duration::from_millis(5));
        assert_eq!(near(4 << 20, 0, five), 6_250_000, "10 Gbit/s for 5 ms");
    }

    #[test]
    fn a_window_never_becomes_smaller_by_growing() {
        assert_eq!(near(WINDOW_BYTES_MAX, u64::MAX, Some(Duration::from_micros(10))), WINDOW_BYTES_MAX);
    }
}
