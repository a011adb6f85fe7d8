//! Places: how much of something may be in use at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

/// As many are taken as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no place is left")]
pub(crate) struct NoPlace;

/// So many places, and how many are taken.
#[derive(Debug)]
pub(crate) struct Places {
    max: AtomicUsize,
    taken: AtomicUsize,
}

/// One place, or several that were taken together. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    count: usize,
}

impl Places {
    /// All free.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: AtomicUsize::new(max), taken: AtomicUsize::new(0) })
    }

    /// From now on there are so many. Where more are taken, nobody has to leave, and nobody comes in until enough have.
    pub(crate) fn hold_to(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Takes one. One step, so that several at once do not pass the limit together.
    ///
    /// # Errors
    /// [`NoPlace`] when all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Place, NoPlace> {
        self.take_some(1)
    }

    /// Takes so many at once, or none.
    ///
    /// # Errors
    /// [`NoPlace`] when fewer are left.
    pub(crate) fn take_some(self: &Arc<Self>, count: usize) -> Result<Place, NoPlace> {
        let more = |taken: usize| taken.checked_add(count).filter(|taken| *taken <= self.max());
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more) {
            Ok(_) => Ok(Place { places: Arc::clone(self), count }),
            Err(_) => Err(NoPlace),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(self.count, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{NoPlace, Places};

    #[test]
    fn places_are_taken_and_given_back() {
        let places = Places::new(2);
        let (first, _second) = (places.take().unwrap(), places.take().unwrap());
        assert_eq!(places.take().unwrap_err(), NoPlace);
        drop(first);
        let _third = places.take().unwrap();
        assert_eq!(places.take().unwrap_err(), NoPlace);
    }

    #[test]
    fn fewer_places_wait_for_those_who_leave() {
        let places = Places::new(3);
        let mut held: Vec<_> = (0..3).map(|_| places.take().unwrap()).collect();
        places.hold_to(1);
        for _ in 0..3 {
            assert_eq!(places.take().unwrap_err(), NoPlace);
            held.pop();
        }
        let _one = places.take().unwrap();
        assert_eq!(places.take().unwrap_err(), NoPlace);
        places.hold_to(2);
        assert!(places.take().is_ok());
    }

    #[test]
    fn many_at_once_do_not_pass_the_limit_together() {
        let places = Places::new(100);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter_map(|_| places.take().ok()).collect::<Vec<_>>()))
                .collect();
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 100);
        drop(taken);
        assert!(places.take().is_ok());
    }
}
