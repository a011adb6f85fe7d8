//! The places of the repository.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The root of the work tree that this xtask was built from.
#[derive(Debug, Clone)]
pub struct Repo {
    root: PathBuf,
}

impl Repo {
    /// Finds the root: the folder above xtask's own.
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask has no folder above it")?.to_path_buf();
        Ok(Self { root })
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root.
    pub fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        environment("CARGO_TARGET_DIR").map_or_else(|| self.join("target"), PathBuf::from)
    }

    /// The same cargo that runs this xtask, in the root folder.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(environment("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }
}

/// One variable of the environment. xtask has no configuration but what cargo hands it, `PATH` and `HOME`.
#[expect(clippy::disallowed_methods, reason = "the one place where xtask reads its environment")]
pub fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
