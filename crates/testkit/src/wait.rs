//! Waiting for a condition instead of for a time.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::limits::POLL_INTERVAL;

/// Waits until `condition` holds.
///
/// # Errors
/// When it does not hold within `deadline`; `what` says what was waited for.
pub async fn until<F, C>(what: &str, deadline: Duration, mut condition: C) -> Result<()>
where
    F: Future<Output = bool>,
    C: FnMut() -> F,
{
    let poll = async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    match tokio::time::timeout(deadline, poll).await {
        Ok(()) => Ok(()),
        Err(_) => bail!("{what}: not within {deadline:?}"),
    }
}

/// Waits until `condition` holds, on this thread.
///
/// # Errors
/// When it does not hold within `deadline`; `what` says what was waited for.
pub fn until_blocking(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > deadline {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{until, until_blocking};

    #[tokio::test]
    async fn a_condition_is_waited_for_and_not_for_ever() {
        let mut looks = 0;
        let third = until("third look", Duration::from_mins(1), || {
            looks += 1;
            std::future::ready(looks == 3)
        });
        assert!(third.await.is_ok());
        let never = until("never", Duration::from_millis(20), || std::future::ready(false)).await;
        assert_eq!(never.map_err(|e| e.to_string()), Err(String::from("never: not within 20ms")));
        assert!(until_blocking("never", Duration::ZERO, || false).is_err());
    }
}
