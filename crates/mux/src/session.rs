//! The opening side of a session: the server's.

use std::{sync::Arc, time::Duration};

use adit_wire::stream::StreamHeader;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    close::Closed,
    shared::{Known, Shared},
    stream::Stream,
};

/// Why no stream was opened. The agent has seen nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session has ended or is about to.
    #[error("session has ended")]
    Closed,
    /// As many streams are open as may be, or as there is memory for.
    #[error("session has no stream left")]
    Full,
    /// The agent left too many streams unanswered, or takes no bytes at all, for the whole deadline.
    #[error("agent does not take streams")]
    Stalled,
}

/// Opens streams to one agent. Clones share the session; it ends with its connection, not with the last clone.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
    requests: mpsc::Sender<OpenRequest>,
    open_deadline: Duration,
}

/// A caller of `open` waits behind this. It is dropped unserved once nobody does.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) reply: oneshot::Sender<(yamux::Stream, Known)>,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        requests: mpsc::Sender<OpenRequest>,
        open_deadline: Duration,
    ) -> Self {
        Self { shared, requests, open_deadline }
    }

    /// Opens a stream and sends its header. Cancel-safe: a cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// None of them harms the session, and the agent saw nothing.
    pub async fn open(&self, header: &StreamHeader) -> Result<Stream, OpenError> {
        if self.is_closed() {
            return Err(OpenError::Closed);
        }
        let place = self.shared.enter().ok_or(OpenError::Full)?;
        // Before the stream is there: noted afterwards, the answer might have been heard already.
        self.shared.line.ask();
        let (reply, opened) = oneshot::channel();
        self.requests.try_send(OpenRequest { reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OpenError::Full,
            mpsc::error::TrySendError::Closed(_) => OpenError::Closed,
        })?;
        let raw = timeout(self.open_deadline, opened).await.map_err(|_| OpenError::Stalled)?;
        let (raw, known) = raw.map_err(|_| OpenError::Closed)?;
        Stream::open(raw, known.seat(place), header).map_err(|_| OpenError::Closed)
    }

    /// Streams that are open or being opened.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.shared.streams()
    }

    /// Whether one more stream may be opened now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// For how long the agent has been asked something that it answers at once, a ping or a stream, and has sent no byte;
    /// zero if it owes nothing. A link that is dead and does not say so shows here long before the heartbeat gives it up.
    #[must_use]
    pub fn unanswered_for(&self) -> Duration {
        self.shared.line.unanswered_for()
    }

    /// Whether another session should take the place of this one: it has opened so many streams that their ids will come
    /// to an end. It still opens more.
    #[must_use]
    pub fn is_retiring(&self) -> bool {
        self.shared.lifetime.is_over()
    }

    /// Waits until [`Session::is_retiring`]. Cancel-safe.
    pub async fn retiring(&self) {
        self.shared.lifetime.over().await;
    }

    /// Tells when the session has ended, and why.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.shared.closed()
    }

    /// Whether the session has ended or was asked to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed() || self.shared.asked_to_close().is_some()
    }

    /// Ends the session: control frames queued before are still sent, streams are cut. `why` becomes
    /// [`crate::CloseReason::Asked`]; the first call counts.
    pub fn close(&self, why: &'static str) {
        self.shared.ask_to_close(why);
    }
}
