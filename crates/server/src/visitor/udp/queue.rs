//! Datagrams of one flow that wait for its agent: few, and what comes when it is full is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::limits::{DATAGRAM_BYTES_PER_FLOW_MAX, DATAGRAM_COST_BYTES, DATAGRAMS_QUEUED_MAX};
use crate::places::{NoPlace, Place, Places};

/// One flow's queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// What may wait for the tenant and for the node.
    shares: [Arc<Places>; 2],
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// A datagram, and the memory that it was granted.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) datagram: Vec<u8>,
    pub(super) memory: [Place; 2],
}

impl Queue {
    /// An empty one. `shares` are what may wait for the tenant and for the node.
    pub(super) fn new(shares: [Arc<Places>; 2]) -> Self {
        Self { state: Mutex::default(), shares, reader: AtomicWaker::new() }
    }

    /// Adds a datagram.
    ///
    /// # Errors
    /// [`NoPlace`] when this queue is full, or those of the tenant or the node together are.
    pub(super) fn push(&self, datagram: &[u8]) -> Result<(), NoPlace> {
        let cost = datagram.len().saturating_add(DATAGRAM_COST_BYTES);
        let mut state = self.lock();
        let bytes = state.bytes.saturating_add(cost);
        if state.waiting.len() >= DATAGRAMS_QUEUED_MAX || bytes > DATAGRAM_BYTES_PER_FLOW_MAX {
            return Err(NoPlace);
        }
        let [tenant, node] = &self.shares;
        let memory = [tenant.take_some(cost)?, node.take_some(cost)?];
        state.bytes = bytes;
        state.waiting.push_back(Waiting { datagram: datagram.to_vec(), memory });
        drop(state);
        self.reader.wake();
        Ok(())
    }

    /// The oldest datagram. One task reads.
    pub(super) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Waiting> {
        if let Some(first) = self.pop() {
            return Poll::Ready(first);
        }
        self.reader.register(cx.waker());
        self.pop().map_or(Poll::Pending, Poll::Ready)
    }

    fn pop(&self) -> Option<Waiting> {
        let mut state = self.lock();
        let first = state.waiting.pop_front()?;
        let cost = first.datagram.len().saturating_add(DATAGRAM_COST_BYTES);
        state.bytes = state.bytes.saturating_sub(cost);
        if state.waiting.is_empty() {
            // An idle flow keeps nothing.
            state.waiting = VecDeque::new();
        }
        Some(first)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::Queue;
    use crate::limits::{DATAGRAM_BYTES_PER_FLOW_MAX, DATAGRAM_COST_BYTES, DATAGRAMS_QUEUED_MAX};
    use crate::places::{NoPlace, Places};

    fn queue(tenant: usize, node: usize) -> Queue {
        Queue::new([tenant, node].map(Places::new))
    }

    fn pop(queue: &Queue) -> Option<Vec<u8>> {
        match queue.poll_pop(&Context::from_waker(Waker::noop())) {
            Poll::Ready(waiting) => Some(waiting.datagram),
            Poll::Pending => None,
        }
    }

    #[test]
    fn datagrams_come_out_whole_and_in_order() {
        let queue = queue(1 << 20, 1 << 20);
        for datagram in [&b"one"[..], b"", b"three"] {
            queue.push(datagram).unwrap();
        }
        let all: Vec<_> = std::iter::from_fn(|| pop(&queue)).collect();
        assert_eq!(all, [b"one".to_vec(), Vec::new(), b"three".to_vec()]);
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let queue = queue(1 << 20, 1 << 20);
        for n in 0..DATAGRAMS_QUEUED_MAX {
            assert_eq!(queue.push(b""), Ok(()), "{n}");
        }
        assert_eq!(queue.push(b""), Err(NoPlace));
        pop(&queue).unwrap();
        assert_eq!(queue.push(b""), Ok(()));
    }

    #[test]
    fn so_many_bytes_wait_and_no_more() {
        let most = DATAGRAM_BYTES_PER_FLOW_MAX / 4 - DATAGRAM_COST_BYTES;
        for (last, fits) in [(most - 1, Ok(())), (most, Ok(())), (most + 1, Err(NoPlace))] {
            let queue = queue(1 << 20, 1 << 20);
            (0..3).for_each(|_| queue.push(&vec![7; most]).unwrap());
            assert_eq!(queue.push(&vec![7; last]), fits);
        }
    }

    #[test]
    fn what_waits_for_the_tenant_and_the_node_is_bounded_too_until_it_is_on_its_way() {
        let cost = 100 + DATAGRAM_COST_BYTES;
        for [tenant, node] in [[2 * cost, 1 << 20], [1 << 20, 2 * cost]] {
            let shares = [tenant, node].map(Places::new);
            let queues = [(); 2].map(|()| Queue::new(shares.each_ref().map(Arc::clone)));
            for queue in &queues {
                queue.push(&[7; 100]).unwrap();
            }
            assert_eq!(queues.each_ref().map(|queue| queue.push(b"")), [Err(NoPlace); 2]);
            let taken = queues[0].poll_pop(&Context::from_waker(Waker::noop()));
            assert_eq!(queues[1].push(b""), Err(NoPlace));
            drop(taken);
            assert_eq!(queues[1].push(b""), Ok(()));
            drop(queues);
            assert!(shares.iter().all(|share| share.take_some(2 * cost).is_ok()));
        }
    }
}
