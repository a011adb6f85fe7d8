//! Telling that a database server does not answer, before it is given up.

use std::pin::pin;

use tokio::time::timeout;

use crate::limits::{SILENCE_TOLD_AFTER, STATEMENT_DEADLINE};

/// What a database server answers. The log says when that takes long: whoever started the program else sees nothing at
/// all until the deadline.
pub(crate) async fn told<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    if let Ok(answer) = timeout(SILENCE_TOLD_AFTER, answer.as_mut()).await {
        return answer;
    }
    let seconds = STATEMENT_DEADLINE.as_secs();
    tracing::warn!("the database does not answer yet; it is given up after {seconds} s of silence");
    answer.await
}
