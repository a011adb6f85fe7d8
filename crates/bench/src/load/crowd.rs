//! Tasks that end with the load that started them, whatever becomes of it.

use adit_process::tasks::{Task, Tasks};
use anyhow::{Result, bail};

/// Visitors under way. Dropping it cuts them.
pub struct Crowd<T> {
    tasks: Tasks,
    visitors: Vec<Task<Result<T>>>,
}

impl<T: Send + 'static> Crowd<T> {
    /// Nobody yet.
    pub fn new(name: &'static str) -> Self {
        Self { tasks: Tasks::new(name), visitors: Vec::new() }
    }

    /// One more.
    pub fn add(&mut self, visitor: impl Future<Output = Result<T>> + Send + 'static) {
        self.visitors.push(self.tasks.spawn("visitor", visitor));
    }

    /// What each brought back, in order. Every one of them has its own deadline.
    pub async fn outcomes(mut self) -> Vec<Result<T>> {
        let mut outcomes = Vec::new();
        for visitor in &mut self.visitors {
            outcomes.push(visitor.await.map_err(anyhow::Error::from).and_then(|outcome| outcome));
        }
        outcomes
    }

    /// Fails with what ended the first that has ended.
    pub async fn all_under_way(&mut self) -> Result<()> {
        for visitor in &mut self.visitors {
            if visitor.is_finished() {
                visitor.await??;
                bail!("a visitor ended too early");
            }
        }
        Ok(())
    }
}

impl<T> Drop for Crowd<T> {
    fn drop(&mut self) {
        self.visitors.iter().for_each(Task::abort);
    }
}
