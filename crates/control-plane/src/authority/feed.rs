//! The change feed. Looking at the store again and again is the truth: a change may come from another process.

use std::time::Duration;

use adit_authority::{Change, Changes, Sequence, Unavailable};
use adit_store::{ChangeRecord, Event, SigningKey, Store, StoreError};
use tokio::time::{Instant, sleep_until};

use super::unavailable;
use crate::limits::CHANGES_POLL_INTERVAL;

/// The changes after `after`; waits up to `patience` for the first.
pub(super) async fn changes(
    store: &Store,
    after: Sequence,
    patience: Duration,
) -> Result<Changes, Unavailable> {
    let give_up = Instant::now() + patience;
    loop {
        let changes = read(store, after).await.map_err(unavailable)?;
        let now = Instant::now();
        if changes.next != after || now >= give_up {
            return Ok(changes);
        }
        sleep_until(give_up.min(now + CHANGES_POLL_INTERVAL)).await;
    }
}

async fn read(store: &Store, after: Sequence) -> Result<Changes, StoreError> {
    let records = store.changes().after(after.0).await?;
    let follows = records.first().is_some_and(|record| record.seq == after.0.saturating_add(1));
    if after == Sequence::START || (!follows && store.changes().has_gap_after(after.0).await?) {
        return full_picture(store).await;
    }
    let next = records.last().map_or(after, |record| Sequence(record.seq));
    let keys = if records.iter().any(|record| matches!(record.event, Event::SigningKeyAdded(_))) {
        store.signing_keys().list().await?
    } else {
        Vec::new()
    };
    Ok(Changes { changes: translate(&records, &keys), next })
}

/// All signing keys that count, and what was revoked since the oldest capability that can still be valid.
async fn full_picture(store: &Store) -> Result<Changes, StoreError> {
    // In this order nothing that happens in between is passed over: a change may be told twice, never not at all.
    let mut next = store.changes().latest().await?;
    let mut records = Vec::new();
    let mut after = Sequence::START.0;
    loop {
        let page = store.changes().after(after).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        next = next.max(last.seq);
        records.extend(page);
    }
    let keys = store.signing_keys().list().await?;
    let mut changes: Vec<_> = keys.iter().filter(|key| key.retired_at.is_none()).map(published).collect();
    changes.extend(translate(&records, &keys));
    Ok(Changes { changes, next: Sequence(next) })
}

fn translate(records: &[ChangeRecord], keys: &[SigningKey]) -> Vec<Change> {
    records.iter().filter_map(|record| change(record.event, keys)).collect()
}

/// The change as nodes hear of it. A key that was added and retired again was never any use to them.
fn change(event: Event, keys: &[SigningKey]) -> Option<Change> {
    match event {
        Event::SigningKeyAdded(key_id) => {
            keys.iter().find(|key| key.key_id == key_id && key.retired_at.is_none()).map(published)
        }
        Event::SigningKeyRetired(key_id) => Some(Change::SigningKeyRetired { key_id }),
        Event::ApiKeyRevoked(id) => Some(Change::ApiKeyRevoked(id)),
        Event::CapabilityRevoked(id) => Some(Change::CapabilityRevoked(id)),
        Event::TenantSuspended(id) => Some(Change::TenantSuspended(id)),
        Event::EndpointRemoved { endpoint, epoch } => Some(Change::EndpointRemoved { endpoint, epoch }),
        Event::Unknown { kind } => {
            tracing::warn!(kind, "a change that this version does not know");
            None
        }
    }
}

const fn published(key: &SigningKey) -> Change {
    Change::SigningKey { key_id: key.key_id, public_key: key.public_key }
}
