//! Locks of short sections.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// No critical section here can leave the value half changed, so a poisoned lock is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
