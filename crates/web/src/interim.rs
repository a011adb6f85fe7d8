//! Interim responses (RFC 9110, section 15.2) on their way to a visitor of HTTP/1.1. hyper's server has no way to send
//! them, so they are written between its messages, by its transport.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use http::{HeaderMap, Response, StatusCode};

use crate::hygiene;
use crate::limits::INTERIM_BYTES_MAX;

/// Takes the interim responses to one request, as an extension of it. To a request without one none can be sent.
#[derive(Clone)]
pub(crate) struct Interim {
    lane: Arc<Lane>,
    request: u64,
}

impl Interim {
    /// Sends one, unless the final response has begun, or too much waits already. 100 is the node's own to say, and 101 is
    /// no interim response.
    pub(crate) fn send(&self, status: StatusCode, headers: &HeaderMap) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers.clone();
        if hygiene::response(&mut response, None).is_ok() {
            self.lane.put(self.request, &written(&response));
        }
    }
}

fn written(response: &Response<()>) -> Vec<u8> {
    let reason = response.status().canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status().as_str()).into_bytes();
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What waits to be written on one connection.
#[derive(Default)]
pub(crate) struct Lane {
    state: Mutex<State>,
    /// Something waits, or may come: to be asked without the lock.
    is_waiting: AtomicBool,
    is_open: AtomicBool,
}

#[derive(Default)]
struct State {
    request: u64,
    bytes: Vec<u8>,
    connection: Option<Waker>,
}

impl Lane {
    /// Another request: what was for the one before is void.
    pub(crate) fn begin(self: &Arc<Self>) -> Interim {
        let mut state = self.state();
        state.request = state.request.wrapping_add(1);
        state.bytes.clear();
        self.is_open.store(true, Ordering::Release);
        self.is_waiting.store(false, Ordering::Release);
        Interim { lane: Arc::clone(self), request: state.request }
    }

    /// The final response follows; what waits may still go before it.
    pub(crate) fn close(&self) {
        // Under the lock: nothing is put in after that.
        let _state = self.state();
        self.is_open.store(false, Ordering::Release);
    }

    /// Wakes the connection when something waits.
    pub(crate) fn wake(&self, connection: &Waker) {
        if self.is_open.load(Ordering::Acquire) {
            let mut state = self.state();
            if !state.connection.as_ref().is_some_and(|known| known.will_wake(connection)) {
                state.connection = Some(connection.clone());
            }
        }
    }

    /// All that waits.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        if !self.is_waiting.swap(false, Ordering::AcqRel) {
            return None;
        }
        Some(std::mem::take(&mut self.state().bytes)).filter(|bytes| !bytes.is_empty())
    }

    /// Drops what waits if the final response is under way: it has no place any more.
    pub(crate) fn miss(&self) {
        if self.is_waiting.load(Ordering::Acquire) && !self.is_open.load(Ordering::Acquire) {
            self.state().bytes.clear();
            self.is_waiting.store(false, Ordering::Release);
        }
    }

    fn put(&self, request: u64, bytes: &[u8]) {
        let mut state = self.state();
        let has_room = state.bytes.len().saturating_add(bytes.len()) <= INTERIM_BYTES_MAX;
        if state.request != request || !self.is_open.load(Ordering::Acquire) || !has_room {
            return;
        }
        state.bytes.extend_from_slice(bytes);
        self.is_waiting.store(true, Ordering::Release);
        let connection = state.connection.take();
        drop(state);
        if let Some(connection) = connection {
            connection.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::Lane;
    use crate::limits::INTERIM_BYTES_MAX;

    fn link() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("link", HeaderValue::from_static("</style.css>; rel=preload"));
        headers
    }

    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";

    #[test]
    fn fields_of_one_hop_and_ours_are_left_out() {
        let lane = Arc::new(Lane::default());
        let interim = lane.begin();
        let mut headers = link();
        for (name, value) in
            [("connection", "x-hop"), ("x-hop", "1"), ("content-length", "5"), ("adit-error", "ADIT-0001")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        interim.send(StatusCode::EARLY_HINTS, &headers);
        interim.send(StatusCode::from_u16(199).unwrap(), &HeaderMap::new());
        let all = [HINT, "HTTP/1.1 199 \r\n\r\n"].concat();
        assert_eq!(String::from_utf8(lane.take().unwrap()).unwrap(), all);
        assert_eq!(lane.take(), None);
    }

    #[test]
    fn only_the_request_in_question_and_only_before_its_response() {
        let lane = Arc::new(Lane::default());
        let first = lane.begin();
        for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS] {
            first.send(status, &HeaderMap::new());
        }
        assert_eq!(lane.take(), None);
        first.send(StatusCode::EARLY_HINTS, &link());
        let second = lane.begin();
        first.send(StatusCode::EARLY_HINTS, &link());
        assert_eq!(lane.take(), None);
        second.send(StatusCode::EARLY_HINTS, &link());
        lane.close();
        second.send(StatusCode::EARLY_HINTS, &link());
        assert_eq!(lane.take().unwrap(), HINT.as_bytes());
    }

    #[test]
    fn what_missed_its_place_is_dropped() {
        let lane = Arc::new(Lane::default());
        let interim = lane.begin();
        interim.send(StatusCode::EARLY_HINTS, &link());
        lane.miss();
        assert!(lane.take().is_some());
        interim.send(StatusCode::EARLY_HINTS, &link());
        lane.close();
        lane.miss();
        assert_eq!(lane.take(), None);
    }

    #[test]
    fn no_more_waits_than_may() {
        let empty = HINT.len() - "</style.css>; rel=preload".len();
        for (bytes, fits) in
            [(INTERIM_BYTES_MAX - 1, true), (INTERIM_BYTES_MAX, true), (INTERIM_BYTES_MAX + 1, false)]
        {
            let lane = Arc::new(Lane::default());
            let interim = lane.begin();
            let mut headers = HeaderMap::new();
            headers.insert("link", HeaderValue::from_str(&"x".repeat(bytes - empty)).unwrap());
            interim.send(StatusCode::EARLY_HINTS, &headers);
            assert_eq!(lane.take().map(|all| all.len()), fits.then_some(bytes));
        }
    }
}
