//! How many descriptors this process may have open: sockets and files together.

use std::io;

/// The two limits of the system. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What is in force.
    pub soft: Option<u64>,
    /// As far as the process may raise it by itself.
    pub hard: Option<u64>,
}

/// Raises the limit in force as far as the process may, and returns both as they are then. Most systems start programs
/// with 1,024, for the sake of those that use `select(2)`.
///
/// # Errors
/// The system refuses. Nothing has changed then.
#[cfg(unix)]
pub fn raise() -> io::Result<Limits> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    Ok(Limits { soft: current, hard: maximum })
}

/// There are no such limits here.
///
/// # Errors
/// None on this system.
#[cfg(not(unix))]
pub fn raise() -> io::Result<Limits> {
    Ok(Limits { soft: None, hard: None })
}

#[cfg(all(test, unix))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::{Limits, raise};

    #[test]
    fn the_limit_in_force_is_raised_to_the_one_that_is_not() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Less than anything else in this process needs is not tried: other tests run beside this one.
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum }).unwrap();
        for _ in 0..2 {
            assert_eq!(raise().unwrap(), Limits { soft: maximum, hard: maximum });
        }
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
