//! The tasks that a node cannot do without.
//!
//! A task of a connection that panics costs that connection. One of these would be missed without a word: nothing could be
//! revoked any more, nothing be billed, no new work be refused. So the node ends with an error, and whoever looks after it
//! starts it again.

use std::future::pending;
use std::sync::Arc;

use adit_authority::Sequence;
use adit_process::tasks::{Task, TaskError};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::limits::POOL_SWEEP_INTERVAL;
use crate::node::Node;
use crate::overload::Ceilings;
use crate::{follow, probe, serving};

/// They run as long as the node does.
pub(crate) struct Upkeep {
    tasks: FuturesUnordered<Task<()>>,
}

impl Upkeep {
    /// Starts them. `after` is how far the directory's changes are known.
    pub(crate) fn begin(node: &Arc<Node>, ceilings: Ceilings, after: Sequence) -> Self {
        let (gate, streams) = (node.gate.clone(), node.mux.budget.clone());
        let watching = Arc::clone(&node.overload).watch(ceilings, gate, streams, node.shutdown.clone());
        let spawn = &node.agent_tasks;
        let tasks = FuturesUnordered::from_iter([
            spawn.spawn("follow changes", follow::changes(Arc::clone(node), after)),
            spawn.spawn("watch overload", watching),
            spawn.spawn("sweep pools", sweep(Arc::clone(node))),
            spawn.spawn("probe pools", probe::watch(Arc::clone(node))),
            spawn.spawn("renew ports", serving::renew(Arc::clone(node))),
        ]);
        Self { tasks }
    }

    /// This one is as important.
    pub(crate) fn add(&self, task: Task<()>) {
        self.tasks.push(task);
    }

    /// Waits until one of them fails. Returns never if none does: that they end when the node stops is no failure.
    pub(crate) async fn failed(&mut self) -> TaskError {
        while let Some(ended) = self.tasks.next().await {
            if let Err(failed) = ended {
                return failed;
            }
        }
        pending().await
    }
}

async fn sweep(node: Arc<Node>) {
    let mut shutdown = node.shutdown.clone();
    let mut ticks = interval(POOL_SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopped() => return,
            _ = ticks.tick() => {
                let now = Instant::now();
                node.routes.tunnels().iter().for_each(|tunnel| tunnel.pool.sweep(now));
                node.holds.sweep(now);
            }
        }
    }
}
