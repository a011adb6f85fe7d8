//! Time in tests whose clock stands still while anybody has something to do.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, timeout};

use crate::limits::TIMER_COARSE;

/// What this comes to, which must be so long from now: no sooner, and later only by what timers are coarse.
///
/// # Errors
/// It comes at another time, or not at all.
pub async fn takes<F: Future>(expected: Duration, future: F) -> Result<F::Output> {
    let begun = Instant::now();
    let latest = expected + TIMER_COARSE;
    let output = timeout(2 * latest, future).await.context("nothing happened in time")?;
    let took = begun.elapsed();
    ensure!((expected..=latest).contains(&took), "{took:?} where {expected:?} were due");
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::takes;
    use crate::limits::TIMER_COARSE;

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_early_or_too_late_is_found() {
        const DUE: Duration = Duration::from_secs(10);
        const A_MOMENT: Duration = Duration::from_millis(1);
        for (after, is_right) in [
            (DUE.saturating_sub(2 * A_MOMENT), false),
            (DUE, true),
            (DUE + 2 * TIMER_COARSE, false),
            (4 * DUE, false),
        ] {
            assert_eq!(takes(DUE, sleep(after)).await.is_ok(), is_right, "{after:?}");
        }
    }
}
