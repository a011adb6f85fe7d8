//! The agent's life: all its connections, until it is asked to stop or one of them is refused for good.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_mux::{Budget, limits::STREAM_BYTES_MAX};
use adit_process::shutdown::Shutdown;
use adit_process::tasks::Tasks;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

use crate::connection::{Connection, End, Shared};
use crate::event::{Emitter, Event};
use crate::forward::Forwarder;
use crate::grant::Grants;
use crate::identity::Identity;
use crate::limits::GRACE_REPLACED;
use crate::orders::Orders;
use crate::parting::Parting;
use crate::presence::Presence;
use crate::session::Work;
use crate::setback::Refusal;

/// How an agent ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was asked to.
    Stopped,
    /// The server refused for good.
    Refused(Refusal),
    /// It broke. This is a mistake in the agent itself.
    Failed(String),
}

/// An agent that is about to run.
pub(crate) struct Runner {
    shared: Shared,
    emitter: Emitter,
}

impl Runner {
    pub(crate) fn new(
        orders: Orders,
        identity: Identity,
        forwarder: Forwarder,
        emitter: Emitter,
        (shutdown, parting): (Shutdown, Arc<OnceLock<Parting>>),
    ) -> Self {
        let work = Work {
            forwarder: Arc::new(forwarder),
            tasks: Tasks::new("agent"),
            streams: Tasks::new("streams"),
            shutdown,
            parting,
            budget: Budget::new(STREAM_BYTES_MAX),
        };
        let presence = Presence::new(emitter.clone(), orders.connections, orders.upstream.to_string());
        let shared = Shared { orders, identity, work, grants: Grants::default(), presence };
        Self { shared, emitter }
    }

    /// Runs until the end.
    pub(crate) async fn run(self) -> Outcome {
        let outcome = self.live().await;
        if let Outcome::Refused(Refusal { is_replaced: true, .. }) = &outcome {
            self.emitter.emit(Event::Replaced { url: self.shared.presence.url() });
        }
        // Streams that are still open are cut: the node tells visitors, and upstreams see a reset.
        self.shared.work.streams.join_all(Duration::ZERO).await;
        self.shared.work.tasks.join_all(Duration::ZERO).await;
        outcome
    }

    /// What is said to one connection for good holds for all.
    async fn live(&self) -> Outcome {
        let work = &self.shared.work;
        if let Some(certificate) = work.forwarder.certificate() {
            drop(work.tasks.spawn("certificate", Arc::clone(certificate).watch(self.emitter.clone())));
        }
        let numbers = 0..self.shared.orders.connections;
        let mut connections: FuturesUnordered<_> =
            numbers.map(|number| Connection::new(&self.shared, number).run()).collect();
        while let Some(end) = connections.next().await {
            if let End::Refused(refusal) = end {
                let others = async { while connections.next().await.is_some() {} };
                self.finish_streams(others).await;
                return Outcome::Refused(refusal);
            }
        }
        Outcome::Stopped
    }

    /// What is in flight over the other connections goes on for a while.
    async fn finish_streams(&self, others: impl Future<Output = ()>) {
        let mut stop = self.shared.work.shutdown.clone();
        tokio::select! {
            biased;
            () = self.shared.work.streams.idle() => {}
            () = others => {}
            () = stop.stopped() => {}
            () = sleep(GRACE_REPLACED) => {}
        }
    }
}
