#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Joined, TaskError, Tasks};
use crate::limits::ABORT_GRACE;
use crate::shutdown::Shutdown;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_task_hands_back_its_result() {
    let tasks = Tasks::new("test");
    assert_eq!(tasks.spawn("sum", async { 2 + 2 }).await, Ok(4));
    assert_eq!(tasks.join_all(LONG).await, Joined { aborted: 0, stuck: 0 });
}

#[tokio::test]
async fn a_panic_in_one_task_does_not_hurt_the_others() {
    let tasks = Tasks::new("test");
    let (go, gone) = oneshot::channel();
    let survivor = tasks.spawn("survivor", gone);
    let broken = tasks.spawn("broken", async { panic!("at the disco") });

    let expected = TaskError::Panicked { task: "broken", message: "at the disco".to_owned() };
    assert_eq!(broken.await.map(|(): ()| ()), Err(expected));
    assert_eq!(tasks.panics(), 1);
    assert_eq!(tasks.running(), 1);

    go.send("alive").unwrap();
    assert_eq!(survivor.await.unwrap(), Ok("alive"));
}

#[tokio::test]
async fn finished_tasks_leave_nothing_behind() {
    let tasks = Tasks::new("test");
    for _ in 0..1_000 {
        tasks.spawn("short", async {}).await.unwrap();
    }
    assert_eq!(tasks.running(), 0);
}

#[tokio::test]
async fn dropping_the_handle_leaves_the_task_running() {
    let tasks = Tasks::new("test");
    let (done, told) = oneshot::channel();
    tasks.spawn("detached", async { done.send(()) });
    told.await.unwrap();
}

#[tokio::test]
async fn what_remains_at_the_deadline_is_aborted() {
    let tasks = Tasks::new("test");
    let stubborn = tasks.spawn("stubborn", pending::<()>());
    let (_never, waits) = oneshot::channel::<()>();
    tasks.spawn("stubborn too", waits);

    let deadline = Duration::from_millis(20);
    let begin = Instant::now();
    assert_eq!(tasks.join_all(deadline).await, Joined { aborted: 2, stuck: 0 });
    assert!(begin.elapsed() >= deadline);
    assert_eq!(stubborn.await, Err(TaskError::Aborted));
    assert_eq!(tasks.running(), 0);
}

#[tokio::test]
async fn a_closed_set_runs_nothing_new() {
    let tasks = Tasks::new("test");
    tasks.join_all(LONG).await;
    assert_eq!(tasks.spawn("late", pending::<()>()).await, Err(TaskError::Aborted));
    assert_eq!(tasks.running(), 0);
}

#[tokio::test]
async fn abort_ends_one_task() {
    let tasks = Tasks::new("test");
    let task = tasks.spawn("endless", pending::<()>());
    task.abort();
    assert_eq!(task.await, Err(TaskError::Aborted));
    assert_eq!(tasks.join_all(LONG).await.aborted, 0);
}

/// A loop that takes nothing new once draining, finishes its work, and is cut at stop.
#[tokio::test]
async fn drain_finishes_and_stop_cuts_in_this_order() {
    let (trigger, shutdown) = Shutdown::new();
    let tasks = Tasks::new("test");
    let (finish, work) = oneshot::channel::<()>();

    let mut at_drain = shutdown.clone();
    let worker = tasks.spawn("worker", async move {
        at_drain.draining().await;
        work.await.is_ok()
    });
    let mut at_stop = shutdown;
    let cut = tasks.spawn("cut", async move {
        at_stop.stopped().await;
        "cut"
    });

    trigger.drain();
    finish.send(()).unwrap();
    assert_eq!(worker.await, Ok(true));
    assert!(!cut.is_finished());

    trigger.stop();
    assert_eq!(cut.await, Ok("cut"));
    assert_eq!(tasks.join_all(LONG).await, Joined { aborted: 0, stuck: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_end_while_the_set_closes_are_not_lost() {
    for _ in 0..50 {
        let tasks = Tasks::new("test");
        let spawner = tasks.clone();
        tasks.spawn("spawner", async move {
            for _ in 0..20 {
                spawner.spawn("child", tokio::task::yield_now());
            }
        });
        assert_eq!(tasks.join_all(LONG).await.stuck, 0);
        assert_eq!(tasks.running(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_its_thread_is_reported_as_stuck() {
    let tasks = Tasks::new("test");
    let (started, start) = oneshot::channel();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    tasks.spawn("blocks", async move {
        started.send(()).unwrap();
        released.recv()
    });
    start.await.unwrap();
    let begin = Instant::now();
    assert_eq!(tasks.join_all(Duration::ZERO).await, Joined { aborted: 1, stuck: 1 });
    assert!(begin.elapsed() >= ABORT_GRACE);
    release.send(()).unwrap();
}
