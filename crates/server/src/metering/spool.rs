//! The file that keeps usage until the control plane has it.
//!
//! One file for each process, replaced as a whole. It is written beside and renamed to *fresh*, which a process that is
//! killed leaves behind however slow the disk is; when it is down on the disk it is renamed to *usage*, which a machine
//! that loses power leaves behind. What is fresh and damaged was never promised. What an earlier process
//! left is taken over: its rows stand in the first file that this one writes, and only then is its file deleted.
//!
//! Two processes share the folder while one takes the place of the other. Each holds a lock beside its file for as long as
//! it lives, and nobody touches the file of one that does.

mod alive;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use adit_authority::UsageRow;
use adit_domain::Carried;
use adit_domain::id::BootId;
use thiserror::Error;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{SPOOL_BYTES_MAX, SPOOL_DEADLINE, SPOOL_OPEN_DEADLINE};
use alive::Alive;

/// Down on the disk.
const SAFE: &str = "usage";
/// Perhaps only in the memory of the operating system.
const FRESH: &str = "fresh";
/// Being written.
const PARTIAL: &str = "partial";
const HEADING: &str = "adit usage 1";

/// Why usage cannot be kept.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The folder or a file in it cannot be read or written.
    #[error("{}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk took longer than [`SPOOL_DEADLINE`].
    #[error("the disk did not answer in time")]
    Deadline,
    /// A file is not what this program writes. Deleting it would lose what was carried, so a person must look.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
    },
}

/// Keeps rows in a folder.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    file: PathBuf,
    /// Processes that ended and whose rows are ours now, until ours are on the disk.
    taken_over: Vec<Left>,
    _alive: Alive,
}

/// What a process left behind that has ended.
#[derive(Debug)]
struct Left {
    files: [PathBuf; 3],
    /// Another process that starts now leaves it to us.
    claim: Alive,
}

impl Spool {
    /// Opens the folder, making it if there is none, and reads what processes left that have ended.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub(crate) async fn open(folder: &Path) -> Result<(Self, Vec<UsageRow>), SpoolError> {
        let opened = async {
            fs::create_dir_all(folder).await.map_err(failed(folder))?;
            let file = folder.join(BootId::new().to_string()).with_extension(SAFE);
            // The name is new, so nobody else has it.
            let alive = Alive::claim(&file).await.map_err(failed(&file))?.ok_or(SpoolError::Deadline)?;
            let mut spool = Self { folder: folder.to_owned(), file, taken_over: Vec::new(), _alive: alive };
            let left = spool.read_left().await?;
            Ok((spool, left))
        };
        timeout(SPOOL_OPEN_DEADLINE, opened).await.unwrap_or(Err(SpoolError::Deadline))
    }

    /// Reads what processes left that have ended since. It is kept where it is until the next [`Spool::write`], which must
    /// be given all of it.
    ///
    /// # Errors
    /// See [`SpoolError`]. Then nothing has been taken over.
    pub(crate) async fn take_over(&mut self) -> Result<Vec<UsageRow>, SpoolError> {
        timeout(SPOOL_DEADLINE, self.read_left()).await.unwrap_or(Err(SpoolError::Deadline))
    }

    async fn read_left(&mut self) -> Result<Vec<UsageRow>, SpoolError> {
        let (mut left, mut rows) = (Vec::new(), Vec::new());
        for name in names(&self.folder).await? {
            let safe = self.folder.join(name).with_extension(SAFE);
            // What is ours is locked, too.
            let Some(claim) = Alive::claim(&safe).await.map_err(failed(&safe))? else { continue };
            let (fresh, partial) = (safe.with_extension(FRESH), safe.with_extension(PARTIAL));
            rows.extend(read(&safe).await?);
            rows.extend(read_fresh(&fresh).await?);
            left.push(Left { files: [safe, fresh, partial], claim });
        }
        self.taken_over.append(&mut left);
        Ok(rows)
    }

    /// Replaces what is kept. When this returns it survives a crash of the machine.
    ///
    /// # Errors
    /// See [`SpoolError`]. What was kept before is then still there.
    pub(crate) async fn write(&mut self, rows: impl Iterator<Item = UsageRow>) -> Result<(), SpoolError> {
        let text = text_of(rows);
        timeout(SPOOL_DEADLINE, self.replace(&text)).await.unwrap_or(Err(SpoolError::Deadline))
    }

    async fn replace(&mut self, text: &str) -> Result<(), SpoolError> {
        let beside = self.file.with_extension(PARTIAL);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside).await.map_err(failed(&beside))?;
        file.write_all(text.as_bytes()).await.map_err(failed(&beside))?;
        // What tokio writes may still be on its way to the operating system.
        file.flush().await.map_err(failed(&beside))?;
        let fresh = self.file.with_extension(FRESH);
        fs::rename(&beside, &fresh).await.map_err(failed(&fresh))?;
        file.sync_all().await.map_err(failed(&fresh))?;
        fs::rename(&fresh, &self.file).await.map_err(failed(&self.file))?;
        let folder = File::open(&self.folder).await.map_err(failed(&self.folder))?;
        folder.sync_all().await.map_err(failed(&self.folder))?;
        while let Some(Left { files, claim }) = self.taken_over.pop() {
            // One that stays is read again at the next start, which changes nothing.
            for file in files {
                let _ = fs::remove_file(file).await;
            }
            claim.remove().await;
        }
        Ok(())
    }
}

/// The names under which usage stands in the folder, each once.
async fn names(folder: &Path) -> Result<BTreeSet<OsString>, SpoolError> {
    let mut names = BTreeSet::new();
    let mut files = fs::read_dir(folder).await.map_err(failed(folder))?;
    while let Some(file) = files.next_entry().await.map_err(failed(folder))? {
        let path = file.path();
        let is_usage = path.extension().is_some_and(|suffix| suffix == SAFE || suffix == FRESH);
        names.extend(path.file_stem().filter(|_| is_usage).map(OsStr::to_owned));
    }
    Ok(names)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { path, source }
}

/// A machine that lost power may leave anything under this name; what it had promised stands in the file beside it.
async fn read_fresh(path: &Path) -> Result<Vec<UsageRow>, SpoolError> {
    match read(path).await {
        Err(SpoolError::Damaged { path }) => {
            tracing::warn!(path = %path.display(), "a file of usage was not down on the disk when the machine stopped");
            Ok(Vec::new())
        }
        read => read,
    }
}

/// A file that is not there has no rows: whoever deleted it had put them down elsewhere.
async fn read(path: &Path) -> Result<Vec<UsageRow>, SpoolError> {
    let damaged = || SpoolError::Damaged { path: path.to_owned() };
    let mut text = String::new();
    let file = match File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed(path))?,
    };
    let read = file.take(SPOOL_BYTES_MAX.saturating_add(1)).read_to_string(&mut text).await;
    match read {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes <= SPOOL_BYTES_MAX) => {
            rows_of(&text).ok_or_else(damaged)
        }
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(failed(path)(error)),
        _ => Err(damaged()),
    }
}

/// A heading, a line for each row, and a last line with their number.
fn text_of(rows: impl Iterator<Item = UsageRow>) -> String {
    let mut lines = vec![HEADING.to_owned()];
    for UsageRow { node, boot, endpoint, hour, carried } in rows {
        let Carried { requests, connections, in_bytes, out_bytes } = carried;
        lines
            .push(format!("{node} {boot} {endpoint} {hour} {requests} {connections} {in_bytes} {out_bytes}"));
    }
    lines.push(format!("end {}\n", lines.len().saturating_sub(1)));
    lines.join("\n")
}

fn rows_of(text: &str) -> Option<Vec<UsageRow>> {
    let (rest, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let mut lines = rest.split('\n');
    (lines.next()? == HEADING).then_some(())?;
    let rows: Vec<_> = lines.map(row_of).collect::<Option<_>>()?;
    let counted: usize = last.strip_prefix("end ")?.parse().ok()?;
    (counted == rows.len()).then_some(rows)
}

/// Reads a file and writes it again, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn written_again(text: &str) -> Option<String> {
    rows_of(text).map(|rows| text_of(rows.into_iter()))
}

fn row_of(line: &str) -> Option<UsageRow> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let row = UsageRow {
        node: word()?.parse().ok()?,
        boot: word()?.parse().ok()?,
        endpoint: word()?.parse().ok()?,
        hour: word()?.parse().ok()?,
        carried: Carried {
            requests: word()?.parse().ok()?,
            connections: word()?.parse().ok()?,
            in_bytes: word()?.parse().ok()?,
            out_bytes: word()?.parse().ok()?,
        },
    };
    words.next().is_none().then_some(row)
}

#[cfg(test)]
mod tests;
