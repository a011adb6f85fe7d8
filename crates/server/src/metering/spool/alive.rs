//! Says that the process lives whose file of usage has the same name.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, OpenOptions};

/// Beside the file.
const LOCK: &str = "lock";

/// A lock that the operating system takes back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Alive {
    path: PathBuf,
    _locked: File,
}

impl Alive {
    /// The lock of this file; none while another process lives that holds it.
    pub(super) async fn claim(file: &Path) -> io::Result<Option<Self>> {
        let path = file.with_extension(LOCK);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let locked = options.open(&path).await?.into_std().await;
        // It is asked for and not waited for.
        match locked.try_lock() {
            Ok(()) => Ok(Some(Self { path, _locked: locked })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Deletes it together with what it was the lock of: that is gone already.
    pub(super) async fn remove(self) {
        // One that stays is an empty file.
        let _ = fs::remove_file(&self.path).await;
    }
}
