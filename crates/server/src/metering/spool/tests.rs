#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::File;
use std::future::poll_fn;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::Command;
use std::task::Poll;
use std::time::Duration;

use adit_authority::UsageRow;
use adit_domain::Carried;
use adit_domain::id::{BootId, EndpointId, NodeId};

use tokio::time::advance;

use super::{Spool, SpoolError, read, rows_of, text_of};
use crate::limits::{SPOOL_BYTES_MAX, SPOOL_DEADLINE, SPOOL_OPEN_DEADLINE};

fn row(requests: u64) -> UsageRow {
    let carried = Carried { requests, connections: 2, in_bytes: u64::MAX, out_bytes: 0 };
    UsageRow {
        node: NodeId::new(),
        boot: BootId::new(),
        endpoint: EndpointId::new(),
        hour: u32::MAX,
        carried,
    }
}

#[tokio::test]
async fn what_was_written_is_there_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("usage");
    let (mut first, left) = Spool::open(&folder).await.unwrap();
    assert!(left.is_empty());
    let rows = [row(1), row(2)];
    first.write(rows.into_iter().take(1)).await.unwrap();
    first.write(rows.into_iter()).await.unwrap();
    drop(first);

    // Read twice: nothing is deleted before the rows stand elsewhere.
    for _ in 0..2 {
        let (_, left) = Spool::open(&folder).await.unwrap();
        assert_eq!(left, rows);
    }
    let (mut second, left) = Spool::open(&folder).await.unwrap();
    second.write(left.into_iter().chain([row(3)])).await.unwrap();
    let files = std::fs::read_dir(&folder).unwrap().flatten();
    let usage = files.filter(|file| file.path().extension().is_some_and(|suffix| suffix == "usage"));
    assert_eq!(usage.count(), 1);
    drop(second);
    assert_eq!(Spool::open(&folder).await.unwrap().1.len(), 3);
}

/// One server takes the place of another on the same folder.
#[tokio::test]
async fn nobody_touches_the_file_of_a_process_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (mut leaves, _) = Spool::open(folder.path()).await.unwrap();
    let (before, last) = (row(1), row(2));
    leaves.write([before].into_iter()).await.unwrap();

    let (mut comes, left) = Spool::open(folder.path()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    comes.write([row(3)].into_iter()).await.unwrap();
    assert!(leaves.file.exists());
    // Written and not reported: it waits for whoever starts after the end.
    leaves.write([before, last].into_iter()).await.unwrap();
    let gone = leaves.file.clone();
    drop(leaves);

    let left = comes.take_over().await.unwrap();
    assert_eq!(left, [before, last]);
    // Only one takes it over, and only once.
    assert!(Spool::open(folder.path()).await.unwrap().1.is_empty());
    assert!(comes.take_over().await.unwrap().is_empty());
    assert!(gone.exists());
    comes.write(left.into_iter().chain([row(3)])).await.unwrap();
    assert!(!gone.exists() && !gone.with_extension("lock").exists());
}

#[tokio::test]
async fn a_damaged_file_lets_nothing_be_forgotten_that_was_read_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut comes, _) = Spool::open(folder.path()).await.unwrap();
    let (whole, damaged) = (folder.path().join("a.usage"), folder.path().join("b.usage"));
    std::fs::write(&whole, text_of([row(1)].into_iter())).unwrap();
    std::fs::write(&damaged, "adit usage").unwrap();
    assert!(matches!(comes.take_over().await, Err(SpoolError::Damaged { .. })));
    comes.write(std::iter::empty()).await.unwrap();
    assert!(whole.exists() && damaged.exists());
    std::fs::remove_file(&damaged).unwrap();
    assert_eq!(comes.take_over().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_process_that_ended_while_it_wrote_leaves_the_file_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path()).await.unwrap();
    let kept = row(1);
    spool.write([kept].into_iter()).await.unwrap();
    std::fs::write(spool.file.with_extension("partial"), "adit usa").unwrap();
    drop(spool);
    assert_eq!(Spool::open(folder.path()).await.unwrap().1, [kept]);
}

#[tokio::test]
async fn what_is_not_down_on_the_disk_counts_if_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path()).await.unwrap();
    let (safe, fresh) = (row(1), row(2));
    spool.write([safe].into_iter()).await.unwrap();
    let path = spool.file.with_extension("fresh");
    std::fs::write(&path, text_of([safe, fresh].into_iter())).unwrap();
    drop(spool);
    let (_, left) = Spool::open(folder.path()).await.unwrap();
    assert!(left.contains(&fresh) && left.contains(&safe));
    std::fs::write(&path, "").unwrap();
    assert_eq!(Spool::open(folder.path()).await.unwrap().1, [safe]);
}

#[tokio::test]
async fn a_damaged_file_is_neither_believed_nor_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.usage");
    let whole = text_of([row(1), row(2)].into_iter());
    for damaged in [
        "",
        "adit usage 1\n",
        "adit usage 2\nend 0\n",
        &whole[..whole.len() / 2],
        &whole.replace("end 2", "end 1"),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let opened = Spool::open(folder.path()).await;
        assert!(matches!(opened, Err(SpoolError::Damaged { .. })), "{damaged:?}");
        assert!(path.exists());
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(Spool::open(folder.path()).await, Err(SpoolError::Damaged { .. })));
}

#[test]
fn every_truncation_is_noticed() {
    let rows = vec![row(1), row(20), row(300)];
    let text = text_of(rows.iter().copied());
    assert_eq!(rows_of(&text), Some(rows));
    assert_eq!(rows_of(&text_of([].into_iter())), Some(Vec::new()));
    assert!((0..text.len()).all(|at| rows_of(&text[..at]).is_none()));
}

#[tokio::test]
async fn a_file_of_so_many_bytes_is_read_and_no_longer_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.usage");
    // One row, whose last number is long.
    let short = text_of([row(1)].into_iter());
    let (before, after) = short.split_at(short.find(" 0\nend").unwrap() + 1);
    for (bytes, is_read) in
        [(SPOOL_BYTES_MAX - 1, true), (SPOOL_BYTES_MAX, true), (SPOOL_BYTES_MAX + 1, false)]
    {
        let zeros = usize::try_from(bytes).unwrap() - short.len();
        std::fs::write(&file, [before, &"0".repeat(zeros), after].concat()).unwrap();
        let rows = read(&file).await;
        assert_eq!(rows.as_ref().is_ok_and(|rows| rows.len() == 1), is_read, "{bytes}: {rows:?}");
        assert_eq!(matches!(rows, Err(SpoolError::Damaged { .. })), !is_read, "{bytes}");
    }
}

/// A file of usage whose disk does not answer: it is a pipe, which nobody opened for writing.
fn on_a_disk_that_hangs(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("old.usage");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    file
}

/// What the future comes to without a wait.
async fn now<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Waits until `reading` waits for the disk, and then until it gives up, which must be at the deadline. It is not asked
/// before: whoever opens the pipe lets it go on, to its end, with the value that this returns.
async fn gives_up<T>(reading: impl Future<Output = Result<T, SpoolError>>, file: &Path, deadline: Duration) {
    const A_MOMENT: Duration = Duration::from_millis(1);
    /// Fails at once while nobody reads.
    const NONBLOCK: i32 = 0o4000;
    let mut reading = pin!(reading);
    let disk: File = loop {
        assert!(now(reading.as_mut()).await.is_pending());
        if let Ok(disk) = File::options().write(true).custom_flags(NONBLOCK).open(file) {
            break disk;
        }
        tokio::task::yield_now().await;
    };
    advance(deadline.saturating_sub(A_MOMENT)).await;
    assert!(now(reading.as_mut()).await.is_pending());
    advance(A_MOMENT).await;
    assert!(matches!(reading.await, Err(SpoolError::Deadline)));
    drop(disk);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_waited_for_until_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path()).await.unwrap();
    let file = on_a_disk_that_hangs(folder.path());
    gives_up(spool.take_over(), &file, SPOOL_DEADLINE).await;
    gives_up(Spool::open(folder.path()), &file, SPOOL_OPEN_DEADLINE).await;
}
