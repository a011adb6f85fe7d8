//! The flows of one public port, by the address and port of their visitors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::queue::Queue;

/// Each flow's queue. Flows take themselves out when they end.
#[derive(Debug, Default)]
pub(super) struct Table {
    flows: Mutex<HashMap<SocketAddr, Arc<Queue>>>,
    emptied: Notify,
}

/// A flow's place in the table.
#[derive(Debug)]
pub(super) struct Entry {
    table: Arc<Table>,
    visitor: SocketAddr,
}

impl Table {
    /// The queue of a visitor's flow, if there is one.
    pub(super) fn find(&self, visitor: &SocketAddr) -> Option<Arc<Queue>> {
        self.lock().get(visitor).cloned()
    }

    /// Enters a new flow. Nobody else enters flows beside the one task that reads the port.
    pub(super) fn enter(self: &Arc<Self>, visitor: SocketAddr, queue: Arc<Queue>) -> Entry {
        self.lock().insert(visitor, queue);
        Entry { table: Arc::clone(self), visitor }
    }

    /// Waits until there is no flow. Cancel safe.
    pub(super) async fn emptied(&self) {
        loop {
            // Made before looking, so that an end in between is heard.
            let emptied = self.emptied.notified();
            if self.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Queue>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut flows = self.table.lock();
        flows.remove(&self.visitor);
        if flows.is_empty() {
            // After a flood the memory goes back.
            flows.shrink_to_fit();
            drop(flows);
            self.table.emptied.notify_waiters();
        }
    }
}
