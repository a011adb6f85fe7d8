//! The counters themselves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_domain::Carried;
use adit_domain::id::EndpointId;

use crate::limits::METERED_ENDPOINTS_MAX;

/// What one endpoint has carried since it was first served here. It only grows.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    connections: AtomicU64,
    in_bytes: AtomicU64,
    out_bytes: AtomicU64,
}

impl Meter {
    /// An upstream answered a request.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection begins whose bytes pass as they are.
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes went on to an upstream.
    pub(crate) fn incoming(&self, bytes: usize) {
        add(&self.in_bytes, bytes);
    }

    /// Bytes went on to a visitor.
    pub(crate) fn outgoing(&self, bytes: usize) {
        add(&self.out_bytes, bytes);
    }

    /// The counts now.
    pub(crate) fn read(&self) -> Carried {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Carried {
            requests: count(&self.requests),
            connections: count(&self.connections),
            in_bytes: count(&self.in_bytes),
            out_bytes: count(&self.out_bytes),
        }
    }
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The meters of this node, at most [`METERED_ENDPOINTS_MAX`]: what cannot be counted is not served.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    by_endpoint: Mutex<HashMap<EndpointId, Arc<Meter>>>,
}

impl Meters {
    /// The meter of an endpoint, the same one for as long as anybody holds it; none when there are as many as may be.
    pub(crate) fn of(&self, endpoint: EndpointId) -> Option<Arc<Meter>> {
        let mut meters = self.lock();
        if let Some(meter) = meters.get(&endpoint) {
            return Some(Arc::clone(meter));
        }
        if meters.len() >= METERED_ENDPOINTS_MAX {
            return None;
        }
        Some(Arc::clone(meters.entry(endpoint).or_default()))
    }

    /// Every meter.
    pub(super) fn all(&self) -> Vec<(EndpointId, Arc<Meter>)> {
        self.lock().iter().map(|(endpoint, meter)| (*endpoint, Arc::clone(meter))).collect()
    }

    /// Forgets the meters that nobody holds and whose counts are `settled`: the two are its endpoint and its counts.
    /// Returns whose they were: those that come back start from zero.
    pub(super) fn forget(&self, settled: impl Fn(EndpointId, Carried) -> bool) -> Vec<EndpointId> {
        // Whoever gets one does so under this lock, and whoever counts holds one: a single holder means that no count
        // can still come.
        let is_over = |endpoint: &EndpointId, meter: &mut Arc<Meter>| {
            Arc::strong_count(meter) == 1 && settled(*endpoint, meter.read())
        };
        self.lock().extract_if(is_over).map(|(endpoint, _)| endpoint).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Arc<Meter>>> {
        self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;

    use adit_domain::Carried;
    use adit_domain::id::EndpointId;

    use super::Meters;
    use crate::limits::METERED_ENDPOINTS_MAX;

    #[test]
    fn an_endpoint_has_one_meter_as_long_as_anybody_counts() {
        let (meters, endpoint) = (Meters::default(), EndpointId::new());
        let meter = meters.of(endpoint).unwrap();
        meter.request();
        meter.incoming(3);
        meters.of(endpoint).unwrap().outgoing(4);
        meters.of(endpoint).unwrap().connection();
        assert_eq!(meter.read(), Carried { requests: 1, connections: 1, in_bytes: 3, out_bytes: 4 });

        meters.forget(|_, _| true);
        assert!(Arc::ptr_eq(&meter, &meters.of(endpoint).unwrap()));
        drop(meter);
        assert!(meters.forget(|_, counts| counts.requests == 0).is_empty());
        assert_eq!(meters.all().len(), 1);
        // Served again at once: it was forgotten all the same, and counts from zero.
        assert_eq!(meters.forget(|of, counts| of == endpoint && counts.requests == 1), [endpoint]);
        assert_eq!(meters.of(endpoint).unwrap().read(), Carried::default());
    }

    #[test]
    fn there_are_only_so_many() {
        let meters = Meters::default();
        let first = EndpointId::new();
        meters.of(first).unwrap();
        for n in 1..METERED_ENDPOINTS_MAX {
            assert!(meters.of(EndpointId::new()).is_some(), "{n}");
        }
        assert!(meters.of(EndpointId::new()).is_none());
        assert!(meters.of(first).is_some());
    }
}
