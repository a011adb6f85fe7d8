//! The top-level tasks live and end together.

use std::time::Duration;

use adit_process::shutdown::Trigger;
use adit_process::tasks::{Task, Tasks};
use anyhow::{Context, anyhow};

/// How much longer than the server's drain the whole may take.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// What the top-level tasks have in common.
pub(crate) struct Supervisor<'a> {
    pub(crate) tasks: &'a Tasks,
    /// Tells them to drain, and to stop.
    pub(crate) trigger: &'a Trigger,
    /// How long the server waits for requests in flight.
    pub(crate) drain_deadline: Duration,
}

/// Runs the top-level tasks until the first of them ends.
///
/// When one fails, the shutdown watch is flipped, the others drain, and its error is returned. When the signals' task
/// ends, that is the wish to stop: the same happens without an error.
pub(crate) async fn supervise(
    Supervisor { tasks, trigger, drain_deadline }: Supervisor<'_>,
    server: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    control_plane: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    signals: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    let server = tasks.spawn("server", server);
    let control_plane = tasks.spawn("control plane", control_plane);
    let signals = tasks.spawn("signals", signals);
    let run_on = async {
        tokio::try_join!(runs_on("server", server), runs_on("control plane", control_plane)).map(|_| ())
    };
    let first = tokio::select! {
        ended = run_on => ended,
        asked = signals => asked.context("the signals' task failed").flatten(),
    };
    trigger.drain();
    let joined = tasks.join_all(drain_deadline.saturating_add(DRAIN_SLACK)).await;
    if joined.aborted > 0 {
        tracing::warn!(cut = joined.aborted, "tasks did not drain in time");
    }
    first
}

/// A task that is expected to run for ever: ending at all is a failure, unless everything is draining.
async fn runs_on(name: &'static str, task: Task<anyhow::Result<()>>) -> anyhow::Result<()> {
    task.await.map_err(anyhow::Error::from).flatten().with_context(|| format!("the {name} failed"))?;
    Err(anyhow!("the {name} ended although nobody asked it to"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use adit_process::shutdown::Shutdown;
    use adit_process::tasks::Tasks;
    use anyhow::{anyhow, bail};

    use super::{Supervisor, supervise};

    /// Where each top-level task of a test ends.
    #[derive(Clone, Copy, PartialEq)]
    enum End {
        Fails,
        Returns,
        Panics,
        Drains,
    }

    /// Runs three tasks that end as told, and returns the outcome and how many drained.
    async fn run(server: End, control_plane: End, signals: End) -> (anyhow::Result<()>, usize) {
        let (trigger, shutdown) = Shutdown::new();
        let drained = Arc::new(AtomicUsize::new(0));
        let task = |end: End| {
            let (mut shutdown, drained) = (shutdown.clone(), Arc::clone(&drained));
            async move {
                match end {
                    End::Fails => bail!("planted failure"),
                    End::Returns => Ok(()),
                    #[expect(clippy::panic, reason = "a planted panic")]
                    End::Panics => panic!("planted panic"),
                    End::Drains => {
                        shutdown.draining().await;
                        drained.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    }
                }
            }
        };
        let tasks = Tasks::new("test");
        let supervisor = Supervisor { tasks: &tasks, trigger: &trigger, drain_deadline: Duration::ZERO };
        let outcome = supervise(supervisor, task(server), task(control_plane), task(signals)).await;
        (outcome, drained.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn each_task_that_fails_ends_the_process_and_the_others_drain() {
        use End::{Drains, Fails, Panics, Returns};
        for end in [Fails, Panics] {
            for (server, control_plane, signals) in
                [(end, Drains, Drains), (Drains, end, Drains), (Drains, Drains, end)]
            {
                let (outcome, drained) = run(server, control_plane, signals).await;
                let text = format!("{:#}", outcome.unwrap_err());
                assert!(text.contains("planted"), "{text}");
                assert_eq!(drained, 2);
            }
        }
        for (server, control_plane) in [(Returns, Drains), (Drains, Returns)] {
            let (outcome, drained) = run(server, control_plane, Drains).await;
            assert!(outcome.unwrap_err().to_string().contains("nobody asked"));
            assert_eq!(drained, 2);
        }
    }

    #[tokio::test]
    async fn a_signal_drains_everything_without_an_error() {
        let (outcome, drained) = run(End::Drains, End::Drains, End::Returns).await;
        assert!(outcome.is_ok());
        assert_eq!(drained, 2);
    }

    #[tokio::test]
    async fn an_error_keeps_its_cause() {
        let (trigger, shutdown) = Shutdown::new();
        let tasks = Tasks::new("test");
        let mut control_plane = shutdown.clone();
        let drain_deadline = Duration::from_secs(30);
        let outcome = supervise(
            Supervisor { tasks: &tasks, trigger: &trigger, drain_deadline },
            async { Err(anyhow!("port taken")) },
            async move {
                control_plane.draining().await;
                Ok(())
            },
            async {
                pending::<()>().await;
                Ok(())
            },
        );
        // The signals' task never ends: what remains is aborted after the deadline, on a paused clock at once.
        tokio::time::pause();
        let text = format!("{:#}", outcome.await.unwrap_err());
        assert_eq!(text, "the server failed: port taken");
    }
}
