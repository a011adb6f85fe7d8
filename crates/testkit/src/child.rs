//! Child processes that do not outlive their test.

use std::process::{Child, Command};

use anyhow::{Context, Result};

/// A child process. Dropped, it is killed and waited for; nothing else is.
#[derive(Debug)]
pub struct ChildGuard(Child);

impl ChildGuard {
    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child =
            command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// The child itself: its pipes, its id, whether it has ended.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Kills the child as `kill -9` does and waits for its end.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _ = self.kill(); // it has ended already, or nobody can end it
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::path::PathBuf;
    use std::process::Command;

    use super::ChildGuard;

    #[test]
    fn a_dropped_child_is_gone() {
        let mut guard = ChildGuard::spawn(Command::new("sleep").arg("1000")).unwrap();
        let process = PathBuf::from(format!("/proc/{}", guard.child().id()));
        assert!(process.exists());
        drop(guard);
        assert!(!process.exists());
    }
}
