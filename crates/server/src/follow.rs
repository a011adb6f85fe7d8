//! The node follows the directory's changes: signing keys come in, revocations cut what is live.

use std::sync::Arc;
use std::time::Duration;

use adit_authority::{Change, Changes, Directory, Sequence, Unavailable};
use tokio::time::{sleep, timeout};

use crate::limits::{CHANGES_DEADLINE, CHANGES_PATIENCE, CHANGES_RETRY};
use crate::node::Node;
use crate::serving;

/// Takes the full picture in, so that the first agent meets a node that knows the keys.
pub(crate) async fn first_picture(node: &Node) -> Result<Sequence, Unavailable> {
    let picture = ask(node.directory.as_ref(), Sequence::START, Duration::ZERO).await?;
    picture.changes.iter().for_each(|change| take_in(node, change));
    Ok(picture.next)
}

/// Goes on from there until the node stops. While the directory is away, everything stays as it is.
pub(crate) async fn changes(node: Arc<Node>, mut after: Sequence) {
    let mut shutdown = node.shutdown.clone();
    loop {
        let news = tokio::select! {
            () = shutdown.stopped() => return,
            news = ask(node.directory.as_ref(), after, CHANGES_PATIENCE) => news,
        };
        match news {
            Ok(news) => {
                news.changes.iter().for_each(|change| take_in(&node, change));
                after = news.next;
            }
            Err(error) => {
                tracing::warn!(%error, "changes cannot be followed; live tunnels go on, nothing can be revoked");
                tokio::select! {
                    () = shutdown.stopped() => return,
                    () = sleep(CHANGES_RETRY) => {}
                }
            }
        }
    }
}

/// A question that is never answered would be the end of all revocations, without a word in the log.
async fn ask(directory: &dyn Directory, after: Sequence, patience: Duration) -> Result<Changes, Unavailable> {
    let deadline = patience.saturating_add(CHANGES_DEADLINE);
    let answered = timeout(deadline, directory.changes(after, patience)).await;
    answered.unwrap_or_else(|_| Err(Unavailable { reason: "no answer in time".to_owned() }))
}

fn take_in(node: &Node, change: &Change) {
    // Trust first: an agent that connects between the two steps is refused.
    node.trust.apply(change, node.now());
    match change {
        Change::ApiKeyRevoked(key) => node.agents.cut_api_key(*key),
        Change::CapabilityRevoked(capability) => node.agents.cut_capability(*capability),
        Change::TenantSuspended(tenant) => node.agents.cut_tenant(*tenant),
        Change::EndpointRemoved { endpoint, epoch } => serving::removed(node, *endpoint, *epoch),
        Change::SigningKey { .. } | Change::SigningKeyRetired { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use adit_authority::Sequence;
    use tokio::time::{Instant, timeout};

    use super::{ask, changes};
    use crate::builder::Builder;
    use crate::limits::{CHANGES_DEADLINE, CHANGES_PATIENCE, CHANGES_RETRY};
    use crate::stub::Stub;

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_not_answered_is_asked_again() {
        let begun = Instant::now();
        assert!(ask(&Stub::default(), Sequence::START, CHANGES_PATIENCE).await.is_err());
        assert_eq!(begun.elapsed().as_secs(), (CHANGES_PATIENCE + CHANGES_DEADLINE).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_there_is_a_pause() {
        const A_MOMENT: Duration = Duration::from_millis(10);
        let directory = Arc::new(Stub::default());
        let (node, _trigger) = Builder::new(directory.clone(), Arc::new(Stub::default())).build().into_node();
        let asked = || directory.asked_for_changes.load(Ordering::SeqCst);
        let mut following = Box::pin(changes(node, Sequence::START));
        let failed_after = CHANGES_PATIENCE + CHANGES_DEADLINE;
        assert!(
            timeout((failed_after + CHANGES_RETRY).saturating_sub(A_MOMENT), following.as_mut())
                .await
                .is_err()
        );
        assert_eq!(asked(), 1);
        assert!(timeout(2 * A_MOMENT, following.as_mut()).await.is_err());
        assert_eq!(asked(), 2);
    }
}
