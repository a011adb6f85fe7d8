//! Holds the size of the agent as customers get it.
//!
//! CI builds no other release artifact. This one is worth its time: a dependency that doubles the agent is
//! noticed on the day it comes in, and the development build says nothing about the stripped size.

use anyhow::{Context as _, Result, bail};

use crate::console;
use crate::interrupt::Interrupt;
use crate::job;
use crate::repo::Repo;

/// The most that the stripped agent without default features may weigh, in bytes. It weighed 3.6 MB when this was
/// written, and 6 MB are where it would be too much: raise this bound knowingly, for something that is worth it.
const AGENT_BYTES_MAX: u64 = 4_500_000;

/// Builds the agent with the profile `small` and weighs it.
pub fn check(repo: &Repo, interrupt: &Interrupt) -> Result<()> {
    let mut build = repo.cargo();
    build.args(["build", "--package", "adit-agent", "--no-default-features", "--profile", "small"]);
    job::run("build of the small agent", &mut build, interrupt)?;
    let agent = repo.target().join("small").join("adit");
    let bytes = agent.metadata().with_context(|| format!("no agent at {}", agent.display()))?.len();
    console::line(&verdict(bytes)?);
    Ok(())
}

fn verdict(bytes: u64) -> Result<String> {
    if bytes > AGENT_BYTES_MAX {
        bail!(
            "the stripped agent weighs {bytes} bytes, more than {AGENT_BYTES_MAX}: customers download it and \
             desktop apps ship it. `cargo tree -p adit-agent -e normal` shows what came in; put what not every \
             customer needs behind a default feature"
        );
    }
    Ok(format!("the stripped agent weighs {bytes} bytes; {AGENT_BYTES_MAX} are allowed"))
}

#[cfg(test)]
mod tests {
    use super::{AGENT_BYTES_MAX, verdict};

    #[test]
    fn the_limit_is_the_last_size_that_passes() {
        assert!(verdict(AGENT_BYTES_MAX - 1).is_ok());
        assert!(verdict(AGENT_BYTES_MAX).is_ok());
        assert!(verdict(AGENT_BYTES_MAX + 1).is_err());
    }
}
