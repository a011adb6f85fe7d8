//! The streams of one connection: who waits on them, and what may be sent on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use adit_wire::credit::Credit;

pub(crate) use parked::{Overrun, Parked, frame_cost};

use crate::lock::lock;

mod parked;

/// The agent is yamux's client and opens this stream first.
pub(crate) const CONTROL_STREAM: u32 = 1;

/// And this one second.
pub(crate) const CREDIT_STREAM: u32 = 3;

/// Finds streams by their ids. Every frame in both directions is counted here, before yamux takes memory for it.
#[derive(Debug)]
pub(crate) struct Register {
    streams: Mutex<HashMap<u32, Arc<Parked>>>,
    /// Streams with something to tell the peer. Each is in it once.
    due: Mutex<Vec<Arc<Parked>>>,
    /// Streams that were dropped, until yamux has forgotten them too.
    gone: Mutex<Vec<u32>>,
}

impl Register {
    pub(crate) fn new() -> Self {
        let services = [CONTROL_STREAM, CREDIT_STREAM].map(|id| (id, Arc::new(Parked::of_service(id))));
        Self { streams: Mutex::new(HashMap::from(services)), due: Mutex::default(), gone: Mutex::default() }
    }

    /// The stream with this id, which is new unless frames of it have been seen.
    pub(crate) fn enter(&self, id: u32) -> Arc<Parked> {
        Arc::clone(lock(&self.streams).entry(id).or_insert_with(|| Arc::new(Parked::new(id))))
    }

    /// The stream is dropped. It stays known until yamux has forgotten it: till then frames still cost memory.
    pub(crate) fn leave(&self, id: u32) {
        lock(&self.gone).push(id);
    }

    /// Streams that have been dropped so far. Once yamux has dealt with all drops, they can be forgotten.
    pub(crate) fn take_gone(&self) -> Vec<u32> {
        std::mem::take(&mut *lock(&self.gone))
    }

    pub(crate) fn forget(&self, gone: &[u32]) {
        let mut streams = lock(&self.streams);
        for id in gone {
            streams.remove(id);
        }
        if streams.capacity() > streams.len().saturating_mul(4).max(KEPT) {
            streams.shrink_to_fit();
        }
    }

    pub(crate) fn keep(&self, gone: Vec<u32>) {
        lock(&self.gone).extend(gone);
    }

    pub(crate) fn find(&self, id: u32) -> Option<Arc<Parked>> {
        lock(&self.streams).get(&id).cloned()
    }

    /// A frame with this many bytes of body has arrived.
    pub(crate) fn arrive(&self, id: u32, body_bytes: usize) -> Result<(), Overrun> {
        // yamux throws away what arrives for a stream that it does not know.
        lock(&self.streams).get(&id).map_or(Ok(()), |stream| stream.arrive(body_bytes))
    }

    /// What has arrived on the control stream or the credit stream was read. The peer is not told.
    pub(crate) fn read(&self, id: u32, bytes: usize) {
        if bytes > 0
            && let Some(stream) = self.find(id)
        {
            stream.allow(bytes);
        }
    }

    /// A frame with a body is on its way.
    pub(crate) fn depart(&self, id: u32) {
        if let Some(stream) = lock(&self.streams).get(&id) {
            stream.depart();
        }
    }

    /// The peer has reset the stream.
    pub(crate) fn reset(&self, id: u32) {
        if let Some(stream) = self.find(id) {
            stream.reset();
        }
    }

    /// The peer's word on what may be sent.
    pub(crate) fn hear(&self, credit: Credit) {
        if let Some(stream) = self.find(credit.stream) {
            stream.hear(credit.bytes);
        }
    }

    /// Notes that this stream has something to tell; says whether nothing was due before.
    pub(crate) fn owe(&self, stream: &Arc<Parked>) -> bool {
        let mut due = lock(&self.due);
        if !stream.list() {
            return false;
        }
        due.push(Arc::clone(stream));
        due.len() == 1
    }

    /// The next stream with something to tell, and what it is.
    pub(crate) fn next_due(&self) -> Option<[Option<Credit>; 2]> {
        let mut due = lock(&self.due);
        let stream = due.pop();
        if stream.is_none() {
            *due = Vec::new();
        }
        stream.map(|stream| stream.unlist())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Parked>> {
        lock(&self.streams).values().cloned().collect()
    }
}

/// Places that an idle register keeps.
const KEPT: usize = 16;
