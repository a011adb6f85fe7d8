//! Lines of the log on their way to whoever reads them. A disk that is full and a reader that does not read cost lines, and
//! nothing else: nobody who logs waits or fails.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Instant;

use tracing_subscriber::fmt::MakeWriter;

use crate::limits::{LOG_FLUSH, LOG_FLUSH_LOOK, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};

/// Takes log lines. Never blocks and never fails; what does not fit is counted, and said later.
#[derive(Clone, Debug)]
pub struct LogLines {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

/// To be held until the program ends: dropping it waits until what was logged before is written, at most [`LOG_FLUSH`].
#[derive(Debug)]
#[must_use = "dropping it waits for what was logged, so it is held to the end"]
pub struct LogFlush {
    queue: SyncSender<Entry>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Everything before has been written, or was lost.
    Flush(SyncSender<()>),
}

impl LogLines {
    /// Starts the thread that writes to `output`. It ends with the program.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(output: impl Write + Send + 'static) -> io::Result<(Self, LogFlush)> {
        let (queue, entries) = mpsc::sync_channel(LOG_LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&entries, output, &counted))?;
        let flush = LogFlush { queue: queue.clone() };
        Ok((Self { queue, lost }, flush))
    }
}

impl Write for LogLines {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_taken =
            line.len() <= LOG_LINE_BYTES_MAX && self.queue.try_send(Entry::Line(line.to_vec())).is_ok();
        if !is_taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for LogFlush {
    fn drop(&mut self) {
        let deadline = Instant::now() + LOG_FLUSH;
        let (done, written) = mpsc::sync_channel(1);
        while self.queue.try_send(Entry::Flush(done.clone())).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(LOG_FLUSH_LOOK);
        }
        drop(done);
        // Whichever way it ends: nothing more can be done.
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn write(entries: &Receiver<Entry>, mut output: impl Write, lost: &AtomicU64) {
    let mut is_writable = true;
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Empty) => {
                if is_writable {
                    tell(lost.swap(0, Ordering::Relaxed));
                }
                let Ok(entry) = entries.recv() else { return };
                entry
            }
            Err(TryRecvError::Disconnected) => return,
        };
        match entry {
            Entry::Line(line) => {
                is_writable = output.write_all(&line).and_then(|()| output.flush()).is_ok();
                if !is_writable {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Flush(done) => drop(done),
        }
    }
}

/// In the log itself, in its own shape: the queue is empty, so there is room.
fn tell(lines: u64) {
    if lines > 0 {
        tracing::warn!(lines, "lines of the log were lost: they could not be written as fast as they came");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::{self, Write};
    use std::sync::atomic::Ordering;
    use std::sync::mpsc::{self, Receiver, SyncSender};
    use std::time::Instant;

    use super::LogLines;
    use crate::limits::{LOG_FLUSH, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};

    /// An output that takes a line when it is told to, and fails where it is told so.
    struct Slow {
        begun: SyncSender<Vec<u8>>,
        goes_on: Receiver<io::Result<()>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.begun.send(line.to_vec()).map_err(io::Error::other)?;
            // Whoever is gone lets everything pass.
            self.goes_on.recv().unwrap_or(Ok(()))?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (LogLines, super::LogFlush, Receiver<Vec<u8>>, SyncSender<io::Result<()>>) {
        let (begun, lines) = mpsc::sync_channel(2 * LOG_LINES_MAX);
        let (go_on, goes_on) = mpsc::sync_channel(1);
        let (log, flush) = LogLines::start(Slow { begun, goes_on }).unwrap();
        (log, flush, lines, go_on)
    }

    #[test]
    fn an_output_that_takes_nothing_stops_nobody_and_what_is_lost_is_counted() {
        let (mut log, _flush, lines, go_on) = slow();
        log.write_all(b"held\n").unwrap();
        assert_eq!(lines.recv().unwrap(), b"held\n");
        for (n, lost) in [(LOG_LINES_MAX - 1, 0), (1, 0), (1, 1)] {
            for _ in 0..n {
                log.write_all(b"waits\n").unwrap();
            }
            assert_eq!(log.lost.load(Ordering::Relaxed), lost);
        }
        go_on.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(lines.recv().unwrap(), b"waits\n");
        assert_eq!(log.lost.load(Ordering::Relaxed), 2, "the one that failed is lost too");
        drop(go_on);
    }

    #[test]
    fn an_output_that_takes_nothing_keeps_no_program_from_its_end() {
        for lines_waiting in [0, 2 * LOG_LINES_MAX] {
            let (mut log, flush, lines, _go_on) = slow();
            log.write_all(b"held\n").unwrap();
            assert_eq!(lines.recv().unwrap(), b"held\n");
            (0..lines_waiting).for_each(|_| log.write_all(b"waits\n").unwrap());
            let begun = Instant::now();
            drop(flush);
            assert!(begun.elapsed() >= LOG_FLUSH);
        }
    }

    #[test]
    fn lines_have_a_longest_one_and_the_end_waits_for_them() {
        let (mut log, flush, lines, go_on) = slow();
        drop(go_on);
        for bytes in [LOG_LINE_BYTES_MAX - 1, LOG_LINE_BYTES_MAX, LOG_LINE_BYTES_MAX + 1] {
            log.write_all(&vec![b'x'; bytes]).unwrap();
        }
        drop(flush);
        let written: Vec<_> = lines.try_iter().map(|line| line.len()).collect();
        assert_eq!(written, [LOG_LINE_BYTES_MAX - 1, LOG_LINE_BYTES_MAX]);
    }
}
