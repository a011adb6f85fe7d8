//! The control stream as its owner sees it: frames in, frames out, no heartbeats.

use std::sync::Arc;

use adit_wire::control::{EncodeError, Frame, encode};
use tokio::{sync::mpsc, time::timeout};

pub(crate) use pipe::ControlPipe;

use crate::{
    close::{CloseReason, Closed},
    limits::{CONTROL_QUEUE_FRAMES, CONTROL_SEND_DEADLINE},
    shared::Shared,
};

mod pipe;

/// Why a frame was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session has ended.
    #[error("session has ended")]
    Closed(#[source] CloseReason),
    /// The queue stayed full for [`CONTROL_SEND_DEADLINE`].
    #[error("control queue is full")]
    Stalled,
    /// The frame cannot be encoded.
    #[error("control frame cannot be encoded")]
    Encode(#[from] EncodeError),
}

/// The control stream of a session. Pings and pongs are answered inside and never surface. Dropping it does not end
/// the session; frames are then thrown away.
#[derive(Debug)]
pub struct Control {
    sender: ControlSender,
    receiver: ControlReceiver,
}

/// The sending half. Clones share one queue of [`CONTROL_QUEUE_FRAMES`].
#[derive(Debug, Clone)]
pub struct ControlSender {
    frames: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

/// The receiving half.
#[derive(Debug)]
pub struct ControlReceiver {
    /// Boxed: a channel has room for 32 of them from the start, and an idle session needs none.
    frames: mpsc::Receiver<Box<Frame>>,
    shared: Arc<Shared>,
}

impl Control {
    /// Both ends of the queues: what the owner holds and what the driver holds.
    pub(crate) fn pair(shared: &Arc<Shared>) -> (Self, ControlPipe) {
        let (to_peer, from_owner) = mpsc::channel(CONTROL_QUEUE_FRAMES);
        let (to_owner, from_peer) = mpsc::channel(CONTROL_QUEUE_FRAMES);
        let control = Self {
            sender: ControlSender { frames: to_peer, shared: Arc::clone(shared) },
            receiver: ControlReceiver { frames: from_peer, shared: Arc::clone(shared) },
        };
        (control, ControlPipe::new(from_owner, to_owner))
    }

    /// Parts the two directions.
    #[must_use]
    pub fn split(self) -> (ControlSender, ControlReceiver) {
        (self.sender, self.receiver)
    }

    /// See [`ControlSender::send`].
    ///
    /// # Errors
    /// The same.
    pub async fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.sender.send(frame).await
    }

    /// See [`ControlReceiver::recv`].
    ///
    /// # Errors
    /// The same.
    pub async fn recv(&mut self) -> Result<Frame, CloseReason> {
        self.receiver.recv().await
    }
}

impl ControlSender {
    /// Queues a frame, waiting for room up to [`CONTROL_SEND_DEADLINE`]. Cancel-safe: a cancelled frame is not sent.
    ///
    /// # Errors
    /// The frame was not queued.
    pub async fn send(&self, frame: &Frame) -> Result<(), SendError> {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes)?;
        match timeout(CONTROL_SEND_DEADLINE, self.frames.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SendError::Closed(self.shared.reason())),
            Err(_) => Err(SendError::Stalled),
        }
    }

    /// Ends the session, see [`crate::Session::close`]. Frames queued before are still sent.
    pub fn close(&self, why: &'static str) {
        self.shared.ask_to_close(why);
    }

    /// Tells when the session has ended.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.shared.closed()
    }
}

impl ControlReceiver {
    /// The next frame that is not a heartbeat. Cancel-safe. Frames that arrived before the end of the session come
    /// before the end.
    ///
    /// # Errors
    /// The session has ended, and why.
    pub async fn recv(&mut self) -> Result<Frame, CloseReason> {
        match self.frames.recv().await {
            Some(frame) => Ok(*frame),
            None => Err(self.shared.closed().wait().await),
        }
    }
}
