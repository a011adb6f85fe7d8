//! What listens on one public port, and listens again when it has died of a mistake: its endpoint is served, and visitors
//! would find it closed until its agent binds it anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_net::listen::BindError;
use adit_process::shutdown::{Shutdown, Trigger};
use adit_process::tasks::{Task, TaskError, Tasks};
use tokio::time::sleep;

use crate::limits::PORT_REOPEN_INTERVAL;

/// How a port is listened on.
pub(super) struct Listener<L> {
    pub(super) address: SocketAddr,
    /// Whose task it is.
    pub(super) tasks: Tasks,
    /// Binds the port and serves its visitors until it is told to drain or stop.
    pub(super) listen: L,
    /// Nobody listens: the last one has died, and the port could not be bound again yet.
    pub(super) is_dead: Arc<AtomicBool>,
}

/// A port that is open. Dropped, it is told to stop.
pub(super) struct Open {
    trigger: Trigger,
    serving: Task<()>,
}

impl<L, F> Listener<L>
where
    L: Fn(SocketAddr, Shutdown) -> Result<F, BindError>,
    F: Future<Output = ()> + Send + 'static,
{
    /// Binds the port. Its visitors are served from now on.
    pub(super) fn open(&self) -> Result<Open, BindError> {
        let (trigger, shutdown) = Shutdown::new();
        let serving = (self.listen)(self.address, shutdown)?;
        Ok(Open { trigger, serving: self.tasks.spawn("public port", serving) })
    }

    /// Keeps the port open until it is told to drain or stop, and has done so.
    pub(super) async fn keep(self, mut open: Open, mut shutdown: Shutdown) {
        while let Err(TaskError::Panicked { .. }) = open.ended(&mut shutdown).await {
            self.is_dead.store(true, Ordering::Release);
            // Who was served by it lets go of the port.
            drop(open);
            let Some(again) = self.open_again(&mut shutdown).await else { return };
            self.is_dead.store(false, Ordering::Release);
            open = again;
        }
    }

    /// Until it can be bound. `None`: it is not wanted any more.
    async fn open_again(&self, shutdown: &mut Shutdown) -> Option<Open> {
        loop {
            tokio::select! {
                biased;
                () = shutdown.draining() => return None,
                () = sleep(PORT_REOPEN_INTERVAL) => {}
            }
            let address = self.address;
            match self.open() {
                Ok(open) => {
                    tracing::warn!(%address, "a public port was opened again after a mistake");
                    return Some(open);
                }
                Err(error) => tracing::warn!(%error, %address, "a public port cannot be opened again yet"),
            }
        }
    }
}

impl Open {
    /// Passes on what it is told until it has ended.
    async fn ended(&mut self, shutdown: &mut Shutdown) -> Result<(), TaskError> {
        tokio::select! {
            ended = &mut self.serving => return ended,
            () = shutdown.draining() => self.trigger.drain(),
        }
        tokio::select! {
            ended = &mut self.serving => return ended,
            () = shutdown.stopped() => self.trigger.stop(),
        }
        (&mut self.serving).await
    }
}
