//! Idle connections to an upstream give way to a request that finds no stream or no memory left.

use adit_mux::Grant;
use adit_mux::limits::STREAM_BYTES_RESERVED;
use tokio::time::{Instant, sleep};

use crate::choice::Choice;
use crate::limits::{IDLE_GIVES_WAY_DEADLINE, IDLE_GIVES_WAY_LOOK};
use crate::places::NoPlace;
use crate::routes::Route;

/// The wait of one request for what others give up.
#[derive(Default)]
pub(super) struct GivingWay {
    ends: Option<Instant>,
}

impl GivingWay {
    /// Waits for a moment, at first for so many connections to give way. `false`: none does, or the time is over.
    pub(super) async fn goes_on(&mut self, route: &Route, choice: &Choice, connections: usize) -> bool {
        match self.ends {
            None if (0..connections).filter(|_| route.give_up_idle(choice)).count() > 0 => {
                self.ends = Some(Instant::now() + IDLE_GIVES_WAY_DEADLINE);
            }
            Some(end) if Instant::now() < end => {}
            None | Some(_) => return false,
        }
        // Each is closed by its own task, and told to the agent.
        sleep(IDLE_GIVES_WAY_LOOK).await;
        true
    }
}

/// Memory for what a request holds besides its stream, where there was none.
pub(super) async fn memory(route: &Route, choice: &Choice, bytes: usize) -> Result<Grant, NoPlace> {
    let mut giving_way = GivingWay::default();
    // As many as free so much, however little each holds.
    let connections = bytes.div_ceil(STREAM_BYTES_RESERVED);
    loop {
        match route.share.memory(bytes) {
            Err(NoPlace) if giving_way.goes_on(route, choice, connections).await => {}
            granted => return granted,
        }
    }
}
