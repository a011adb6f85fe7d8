//! A request's body on its way to the upstream, and how long its response may take.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_web::BodyError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

/// How far a body has come.
pub(super) struct Sending {
    begun: Instant,
    moved_ms: AtomicU64,
    whole: AtomicBool,
}

impl Sending {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), moved_ms: AtomicU64::new(0), whole: AtomicBool::new(false) }
    }

    /// Whether all of it was taken.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// When a part of it was taken last; at first, when it began.
    fn moved_at(&self) -> Instant {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        self.begun.checked_add(moved).unwrap_or(self.begun)
    }

    fn moved(&self) {
        let since_begun = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(since_begun, Ordering::Relaxed);
    }
}

/// The response took too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

/// Waits for the response to a request, at most `deadline` from the last part of the body that was taken: an upload may
/// take as long as it moves.
pub(super) async fn answer_in_time<T>(
    sending: Option<&Sending>,
    deadline: Duration,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Late> {
    let begun = Instant::now();
    let due = || sending.map_or(begun, Sending::moved_at) + deadline;
    loop {
        match timeout_at(due(), answer.as_mut()).await {
            Ok(answer) => return Ok(answer),
            Err(_) if Instant::now() >= due() => return Err(Late),
            Err(_) => {}
        }
    }
}

/// A body that notes how far it has come.
pub(super) struct Noted<B> {
    body: B,
    sending: Arc<Sending>,
}

impl<B> Noted<B> {
    pub(super) fn new(body: B, sending: Arc<Sending>) -> Self {
        Self { body, sending }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin> http_body::Body for Noted<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None | Some(Ok(_))) = &polled {
            self.sending.moved();
            // Whoever knows the length from its header does not ask for the end.
            let whole = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
            self.sending.whole.fetch_or(whole, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::convert::Infallible;
    use std::future::pending;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    use adit_web::body;
    use http_body_util::BodyExt;
    use tokio::time::{Instant, sleep};

    use super::{Late, Noted, Sending, answer_in_time};

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_moves_is_not_late() {
        let (sending, begun) = (Sending::new(), Instant::now());
        let upload = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(9)).await;
                sending.moved();
            }
            pending::<Infallible>().await
        };
        assert_eq!(answer_in_time(Some(&sending), DEADLINE, pin!(upload)).await.unwrap_err(), Late);
        assert_eq!(begun.elapsed().as_secs(), 5 * 9 + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_move_is_late() {
        let begun = Instant::now();
        for moving in [false, true] {
            let sending = moving.then(Sending::new);
            assert!(answer_in_time(sending.as_ref(), DEADLINE, pin!(pending::<Infallible>())).await.is_err());
        }
        assert_eq!(begun.elapsed().as_secs(), 20);
        assert_eq!(answer_in_time(None, DEADLINE, pin!(async { 7 })).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_all_of_its_time_and_no_longer() {
        let millisecond = Duration::from_millis(1);
        for (after, answered) in [
            (DEADLINE.checked_sub(millisecond).unwrap(), Ok(7)),
            (DEADLINE, Ok(7)),
            (DEADLINE + millisecond, Err(Late)),
        ] {
            let answer = async {
                sleep(after).await;
                7
            };
            assert_eq!(answer_in_time(None, DEADLINE, pin!(answer)).await, answered, "{after:?}");
        }
    }

    #[tokio::test]
    async fn a_body_is_whole_when_all_of_it_was_taken() {
        let sending = Arc::new(Sending::new());
        let mut noted = Noted::new(body::full("hello"), Arc::clone(&sending));
        assert!(!sending.is_whole());
        assert_eq!(noted.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert!(sending.is_whole());
    }
}
