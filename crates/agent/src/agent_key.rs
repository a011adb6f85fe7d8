//! The agent's own key: made at first use, kept beside the configuration, never sent anywhere.

use std::io;
use std::path::{Path, PathBuf};

use adit_wire::capability::{AgentKey, KeyError};
use thiserror::Error;

use crate::private_file::{self, ReadError};

/// Hexadecimal digits of a seed.
const DIGITS: usize = 64;

/// A key, and how it came to be.
#[derive(Debug)]
pub struct LoadedKey {
    /// The key.
    pub key: AgentKey,
    /// Why it could not be kept, if it could not: it is gone with the process, and default names with it.
    pub not_kept: Option<NotKept>,
}

/// A key file that could not be written.
#[derive(Debug, Error)]
#[error("the agent's key cannot be kept in {}", .path.display())]
pub struct NotKept {
    /// The file.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum AgentKeyError {
    /// The file is there, but cannot be used as it is.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file holds something else.
    #[error("{} does not hold an agent's key; move it away, and a new one is made", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// No randomness for a new one.
    #[error(transparent)]
    Generate(#[from] KeyError),
}

/// The key in this file, which is made if it is missing. Of two agents that start at once for the first time, both
/// get the key of the one that came first.
///
/// # Errors
/// See [`AgentKeyError`]. A key that exists is never replaced: names were given to it.
pub fn load_or_create(path: &Path) -> Result<LoadedKey, AgentKeyError> {
    if let Some(key) = load(path)? {
        return Ok(LoadedKey { key, not_kept: None });
    }
    let key = AgentKey::generate()?;
    let Err(source) = private_file::create(path, &format!("{}\n", to_hex(key.seed().expose()))) else {
        return Ok(LoadedKey { key, not_kept: None });
    };
    if source.kind() == io::ErrorKind::AlreadyExists
        && let Some(key) = load(path)?
    {
        return Ok(LoadedKey { key, not_kept: None });
    }
    Ok(LoadedKey { key, not_kept: Some(NotKept { path: path.to_owned(), source }) })
}

fn load(path: &Path) -> Result<Option<AgentKey>, AgentKeyError> {
    let Some(text) = private_file::read(path, DIGITS as u64 + 2)? else { return Ok(None) };
    match from_hex(text.trim_end()) {
        Some(seed) => Ok(Some(AgentKey::from_seed(&seed))),
        None => Err(AgentKeyError::Content { path: path.to_owned() }),
    }
}

fn to_hex(seed: &[u8; 32]) -> String {
    seed.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != seed.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in seed.iter_mut().zip(pairs) {
        let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(seed)
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{AgentKeyError, load_or_create};

    #[test]
    fn the_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/agent.key");
        let first = load_or_create(&path).unwrap();
        assert!(first.not_kept.is_none());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = load_or_create(&path).unwrap();
        assert_eq!(first.key.public(), second.key.public());
    }

    #[test]
    fn a_folder_that_cannot_be_written_gives_a_key_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        // A link to nowhere in the place of the folder: stops root too, whom no permission stops.
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink("/proc/adit-does-not-exist/folder", &dangling).unwrap();
        let loaded = load_or_create(&dangling.join("agent.key")).unwrap();
        assert!(loaded.not_kept.unwrap().to_string().contains("agent.key"));
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.key");
        for text in ["", "xyz", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(load_or_create(&path), Err(AgentKeyError::Content { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), *text);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(&path), Err(AgentKeyError::Read(_))));
    }
}
