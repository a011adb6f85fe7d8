//! What runs beside a sender ends with it.

use tokio::sync::watch;

use crate::service::Work;

/// The life of a sender. An upstream that has answered may go on taking a request that nobody waits for any more, or never
/// take the rest of it: the work that carries it must not outlive whoever asked.
pub(super) struct Beside(watch::Sender<()>);

impl Beside {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// The same work, which ends when this is dropped.
    pub(super) fn bind(&self, work: Work) -> Work {
        Self::with(self.0.subscribe(), work)
    }

    /// Binds whatever is handed to `spawn`.
    pub(super) fn binding<E>(&self, spawn: E) -> impl Fn(Work) + Clone + Send + Sync + Unpin + use<E>
    where
        E: Fn(Work) + Clone + Send + Sync + Unpin,
    {
        let life = self.0.subscribe();
        move |work| spawn(Self::with(life.clone(), work))
    }

    fn with(mut life: watch::Receiver<()>, work: Work) -> Work {
        Box::pin(async move {
            tokio::select! {
                () = work => {}
                // Nothing is ever sent: it ends when the sender goes.
                _ = life.changed() => {}
            }
        })
    }
}
