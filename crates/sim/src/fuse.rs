//! Mistakes that a simulation plants: what reads from a connection panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many have burned in this process.
static BURNED: AtomicU64 = AtomicU64::new(0);

/// Burns once for each time that it is armed. Clones are the same fuse.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fuse {
    armed: Arc<AtomicBool>,
}

impl Fuse {
    /// Whoever comes to it next panics.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    /// It does not burn any more.
    pub(crate) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Panics if it is armed.
    pub(crate) fn pass(&self) {
        if self.armed.swap(false, Ordering::Relaxed) {
            BURNED.fetch_add(1, Ordering::Relaxed);
            panic_here();
        }
    }

    /// How many have burned so far.
    pub(crate) fn burned() -> u64 {
        BURNED.load(Ordering::Relaxed)
    }
}

#[expect(clippy::panic, reason = "that is what it is for")]
fn panic_here() {
    panic!("a planted panic");
}

/// The connections that a fuse can lie on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fuses {
    /// Of visitors, at the node.
    pub(crate) visitors: Fuse,
    /// Of agents, at the node.
    pub(crate) agents: Fuse,
    /// To the node, at the agent of `a`.
    pub(crate) link: Fuse,
    /// To the origin, at the agent of `a`.
    pub(crate) upstream: Fuse,
    /// None: the control plane's claims, in the node's session.
    pub(crate) claims: Fuse,
}
