//! Turns a panic of a future into a value.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::limits::PANIC_MESSAGE_BYTES_MAX;

/// The future's output, or what its panic said. A future that panicked is not polled again.
pub(super) async fn contained<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(message(payload.as_ref()))),
    })
    .await
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let end = text.floor_char_boundary(PANIC_MESSAGE_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

    use super::contained;
    use crate::limits::PANIC_MESSAGE_BYTES_MAX;

    async fn said(text: String) -> String {
        contained::<std::future::Ready<()>>(std::future::ready(())).await.unwrap();
        contained(async move { panic!("{text}") }).await.map(|(): ()| String::new()).unwrap_err()
    }

    #[tokio::test]
    async fn a_long_message_is_cut_at_the_bound() {
        for (given, kept) in [
            (PANIC_MESSAGE_BYTES_MAX - 1, PANIC_MESSAGE_BYTES_MAX - 1),
            (PANIC_MESSAGE_BYTES_MAX, PANIC_MESSAGE_BYTES_MAX),
            (PANIC_MESSAGE_BYTES_MAX + 1, PANIC_MESSAGE_BYTES_MAX),
        ] {
            assert_eq!(said("x".repeat(given)).await.len(), kept);
        }
    }

    #[tokio::test]
    async fn any_payload_becomes_text() {
        assert_eq!(contained(async { std::panic::panic_any(7_u8) }).await, Err::<(), _>("no message".into()));
        assert_eq!(contained(async { panic!("plain") }).await, Err::<(), _>("plain".into()));
    }
}
