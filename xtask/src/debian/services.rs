//! Packages that bring a service would start it. What is installed for tests and benchmarks is started by them alone.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The program that Debian's packages ask whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Its answer: nothing may.
const NOTHING_STARTS: &str = "#!/bin/sh\nexit 101\n";

/// While it lives, installing a package starts nothing. A policy that the machine has stays as it is.
#[derive(Debug)]
pub struct Services {
    ours: Option<PathBuf>,
}

impl Services {
    /// Puts the policy there.
    pub fn keep_from_starting() -> Result<Self> {
        Self::with_policy(Path::new(POLICY))
    }

    fn with_policy(file: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o755).open(file) {
            Ok(mut open) => {
                let ours = Self { ours: Some(file.to_path_buf()) };
                open.write_all(NOTHING_STARTS.as_bytes())
                    .with_context(|| format!("cannot write {}", file.display()))?;
                Ok(ours)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: None }),
            Err(error) => Err(error).with_context(|| format!("cannot create {}", file.display())),
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Some(file) = &self.ours {
            // Gone already: somebody wanted services to start again.
            drop(std::fs::remove_file(file));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose folder cannot be written has failed")]

    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::Services;

    #[test]
    fn a_policy_of_ours_comes_and_goes_and_another_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy");
        let services = Services::with_policy(&file).unwrap();
        assert_eq!(Command::new("sh").arg(&file).status().unwrap().code(), Some(101));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o111, 0o111);
        drop(services);
        assert!(!file.exists());

        std::fs::write(&file, "theirs").unwrap();
        drop(Services::with_policy(&file).unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs");
    }
}
