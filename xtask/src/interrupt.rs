//! Ctrl-C, SIGTERM and SIGHUP as a question that loops ask, so that everything started is also stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether somebody asked this program to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes the three signals over from the default, which would end the program on the spot.
    pub fn install() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))
                .context("cannot watch for Ctrl-C")?;
        }
        Ok(interrupt)
    }

    /// True from the first signal on.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
