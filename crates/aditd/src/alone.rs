//! One process at a time lets agents and visitors in, for each data folder and each database: two would each give the same
//! endpoint away and not hear of the other's agents.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use adit_store::{DatabaseUrl, ServerLock, ServerLockError};
use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

/// Inside the data folder.
const LOCK_FILE: &str = "aditd.lock";

/// How long a start waits for the one before, which gives way as soon as it drains.
const PATIENCE: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The right to serve. The operating system and the database take it back when the process dies.
pub(crate) struct Alone {
    _folder: File,
    _database: ServerLock,
}

/// Takes it, or says who has it.
pub(crate) async fn alone(folder: &Path, database: &DatabaseUrl) -> anyhow::Result<Alone> {
    let deadline = Instant::now() + PATIENCE;
    Ok(Alone {
        _folder: of_folder(folder, deadline).await?,
        _database: of_database(database, deadline).await?,
    })
}

async fn of_folder(folder: &Path, deadline: Instant) -> anyhow::Result<File> {
    let path = folder.join(LOCK_FILE);
    let unusable = || format!("the lock {} cannot be taken", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).with_context(unusable)?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // It may be about to write it.
                let _ = file.read_to_string(&mut holder);
                bail!(
                    "another aditd (process {}) serves from the data folder {}: stop it first, or use another folder",
                    holder.trim(),
                    folder.display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .with_context(unusable)?;
    Ok(file)
}

async fn of_database(database: &DatabaseUrl, deadline: Instant) -> anyhow::Result<ServerLock> {
    loop {
        match ServerLock::take(database).await {
            Err(ServerLockError::Taken { .. }) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            taken => return taken.context("this aditd may not serve"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use adit_store::DatabaseUrl;

    use super::alone;

    #[tokio::test]
    async fn the_second_is_told_who_the_first_is_and_comes_when_that_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let database = DatabaseUrl::Sqlite(folder.path().join("adit.sqlite"));
        let first = alone(folder.path(), &database).await.unwrap();
        let refused = alone(folder.path(), &database).await.err().unwrap().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(
            refused.contains(&process) && refused.contains(&*folder.path().to_string_lossy()),
            "{refused}"
        );
        drop(first);
        alone(folder.path(), &database).await.unwrap();
    }
}
