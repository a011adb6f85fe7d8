//! Why a session ended, and the future that tells it.

use tokio::sync::watch;

/// Why a connection ended. The first reason wins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it with [`crate::Session::close`]; the word says why.
    #[error("closed by this side: {0}")]
    Asked(&'static str),
    /// The peer ended the connection in good order.
    #[error("the peer left")]
    PeerLeft,
    /// The peer sent yamux's `GoAway` with an error code: it accuses us.
    #[error("the peer ended the session with yamux code {0}")]
    PeerRefused(u32),
    /// No byte arrived within the heartbeat's dead time.
    #[error("the peer fell silent")]
    Silent,
    /// The connection took no byte for the whole of [`crate::Config::write_stall`], though some waited.
    #[error("the peer takes no bytes")]
    Stalled,
    /// The peer broke the protocol of the mux; the word says how.
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    /// The peer broke the protocol on the control stream.
    #[error("the peer sent an invalid control frame: {0}")]
    ControlInvalid(adit_wire::control::ControlError),
    /// Reading from or writing to the connection failed.
    #[error("connection failed: {0}")]
    Io(std::io::ErrorKind),
    /// The connection has used up its stream ids.
    #[error("stream ids used up")]
    IdsUsedUp,
    /// The driver was dropped before the session ended.
    #[error("the driver was dropped")]
    Dropped,
}

impl CloseReason {
    /// A short stable word for a metric label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Asked(_) => "asked",
            Self::PeerLeft => "peer_left",
            Self::PeerRefused(_) => "peer_refused",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Violation(_) => "violation",
            Self::ControlInvalid(_) => "control_invalid",
            Self::Io(_) => "io",
            Self::IdsUsedUp => "ids_used_up",
            Self::Dropped => "dropped",
        }
    }
}

/// Tells when a session has ended, and why. Clones are independent.
#[derive(Debug, Clone)]
pub struct Closed {
    reason: watch::Receiver<Option<CloseReason>>,
}

impl Closed {
    pub(crate) fn new(reason: watch::Receiver<Option<CloseReason>>) -> Self {
        Self { reason }
    }

    /// Waits until the session has ended. Cancel-safe, and at once when it already has.
    pub async fn wait(&mut self) -> CloseReason {
        match self.reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Dropped),
            Err(_) => CloseReason::Dropped,
        }
    }

    /// Why the session has ended, or `None` while it lives.
    #[must_use]
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason.borrow().clone()
    }
}
