//! Visitors who keep an endpoint busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use adit_process::tasks::{Task, Tasks};
use anyhow::{Result, ensure};
use http::StatusCode;

use crate::body::digest;
use crate::visitor::Visitor;
use crate::wait::until;

const VISITORS: usize = 8;

/// A lost link is noticed meanwhile. Above Adit's heartbeat and its longest delay together.
const ANSWERED_WITHIN: Duration = Duration::from_mins(2);

/// Visitors who ask again and again until they are told to stop.
#[derive(Debug)]
pub struct Asking {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    visitors: Vec<Task<Result<()>>>,
}

impl Asking {
    /// Eight visitors, each with a connection of its own.
    #[must_use]
    pub fn start(visitor: &Visitor) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = Tasks::new("load");
        let visitors = (0..VISITORS).map(|_| {
            let asking = ask(visitor.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tasks.spawn("visitor", asking)
        });
        Self { visitors: visitors.collect(), stop, answered }
    }

    /// Waits until so many more requests were answered.
    pub async fn answered(&self, more: u64) -> Result<()> {
        let enough = self.answered.load(Ordering::SeqCst) + more;
        until("requests are answered", ANSWERED_WITHIN, || async {
            self.answered.load(Ordering::SeqCst) >= enough || self.visitors.iter().any(Task::is_finished)
        })
        .await
    }

    /// The first error of a visitor, if there was one.
    pub async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        for visitor in self.visitors {
            visitor.await??;
        }
        Ok(())
    }
}

async fn ask(visitor: Visitor, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Result<()> {
    let mut connection = visitor.https().await?;
    while !stop.load(Ordering::SeqCst) {
        let answer = connection.get("/").await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        ensure!(status == StatusCode::OK, "{status} {headers:?}");
        digest(answer.into_body()).await?;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}
