//! The change feed: what nodes must know, in the order in which it was committed.

use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, TenantId};
use adit_domain::{Epoch, Timestamp};
use uuid::Uuid;

use crate::StoreError;
use crate::engine::{Engine, Transaction};
use crate::limits::CHANGES_PAGE_MAX;
use crate::scope::{Scope, Unscoped};
use crate::statement::statements;

statements! {
    /// The counter's row stays locked until commit, so a smaller number cannot become visible after a larger one.
    NEXT: 0 = "UPDATE change_counter SET seq = seq + 1 WHERE id = 1 RETURNING seq";
    INSERT: 5 = "INSERT INTO changes (seq, kind, subject, at, epoch) VALUES ($1, $2, $3, $4, $5)";
    AFTER: 2 = "SELECT seq, kind, subject, at, epoch FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2";
    LATEST: 0 = "SELECT seq FROM change_counter WHERE id = 1";
    FIRST: 0 = "SELECT seq FROM changes ORDER BY seq LIMIT 1";
    /// By every clock that has written here: what nodes counted, capabilities, changes.
    WRITTEN_LAST: 0 = "SELECT MAX(w.at) AS at FROM (
            SELECT MAX(at) AS at FROM changes
            UNION ALL SELECT MAX(issued_at) AS at FROM capabilities
            UNION ALL SELECT MAX(hour) * 3600000000 AS at FROM usage) w";
    PRUNE: 1 = "DELETE FROM changes WHERE at < $1";
}

/// The change feed, of an open [`Store`](crate::Store). It holds ids only and is every node's, so it takes no permit.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    pub(crate) engine: &'a Engine,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRecord {
    /// Its place: grows by one with every change.
    pub seq: i64,
    /// What happened.
    pub event: Event,
    /// When.
    pub at: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A key that signs capabilities was added.
    SigningKeyAdded(u32),
    /// A key that signs capabilities was retired.
    SigningKeyRetired(u32),
    /// An API key was revoked.
    ApiKeyRevoked(ApiKeyId),
    /// One capability was revoked.
    CapabilityRevoked(CapabilityId),
    /// A tenant was suspended.
    TenantSuspended(TenantId),
    /// An endpoint was removed: nobody holds it in an epoch before this one.
    EndpointRemoved {
        /// Which.
        endpoint: EndpointId,
        /// The first epoch in which it may be held again.
        epoch: Epoch,
    },
    /// Something that a newer version of this program wrote. Passed over, so that an upgrade never stops the feed.
    Unknown {
        /// Its number.
        kind: i64,
    },
}

impl Changes<'_> {
    /// The changes after `seq`, oldest first, at most [`CHANGES_PAGE_MAX`].
    ///
    /// # Errors
    /// When storage fails.
    pub async fn after(&self, seq: i64) -> Result<Vec<ChangeRecord>, StoreError> {
        let mut tx = self.engine.read(FEED).await?;
        let rows: Vec<Row> = tx.all(AFTER, [seq.into(), CHANGES_PAGE_MAX.into()]).await?;
        rows.into_iter().map(Row::into_record).collect()
    }

    /// The place of the newest change; 0 before the first.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn latest(&self) -> Result<i64, StoreError> {
        let mut tx = self.engine.read(FEED).await?;
        let row: Option<SeqRow> = tx.optional(LATEST, []).await?;
        row.map(|row| row.seq).ok_or(StoreError::Corrupt("the change counter is missing"))
    }

    /// Whether changes after `seq` were deleted, or `seq` is of a future that an older copy of the database does not know:
    /// whoever stands there needs the full picture.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn has_gap_after(&self, seq: i64) -> Result<bool, StoreError> {
        let mut tx = self.engine.read(FEED).await?;
        let latest: Option<SeqRow> = tx.optional(LATEST, []).await?;
        if latest.as_ref().is_some_and(|latest| latest.seq < seq) {
            return Ok(true);
        }
        let first: Option<SeqRow> = tx.optional(FIRST, []).await?;
        let first_kept = first.or(latest.map(|row| SeqRow { seq: row.seq.saturating_add(1) }));
        Ok(first_kept.is_some_and(|first| first.seq > seq.saturating_add(1)))
    }

    /// The newest time that stands in the rows of changes, capabilities and usage; none if there are none.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn written_last(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut tx = self.engine.read(Scope::Everything(Unscoped::Housekeeping)).await?;
        let row: Option<AtRow> = tx.optional(WRITTEN_LAST, []).await?;
        Ok(row.and_then(|row| row.at).map(Timestamp::from_micros))
    }

    /// Deletes changes older than `before`, which must be so old that no capability from then is valid.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.engine.write(Scope::Everything(Unscoped::Housekeeping)).await?;
        let deleted = tx.execute(PRUNE, [before.into()]).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

const FEED: Scope = Scope::Everything(Unscoped::ChangeFeed);

/// Appends a change to the feed, in the transaction that makes it.
pub(crate) async fn append(tx: &mut Transaction, event: Event, at: Timestamp) -> Result<(), StoreError> {
    let next: Option<SeqRow> = tx.optional(NEXT, []).await?;
    let seq = next.ok_or(StoreError::Corrupt("the change counter is missing"))?.seq;
    let values = [seq.into(), event.kind().into(), event.subject().into(), at.into(), event.epoch().into()];
    tx.execute(INSERT, values).await?;
    Ok(())
}

impl Event {
    const fn kind(self) -> i64 {
        match self {
            Self::SigningKeyAdded(_) => 1,
            Self::SigningKeyRetired(_) => 2,
            Self::ApiKeyRevoked(_) => 3,
            Self::CapabilityRevoked(_) => 4,
            Self::TenantSuspended(_) => 5,
            Self::EndpointRemoved { .. } => 6,
            Self::Unknown { kind } => kind,
        }
    }

    fn subject(self) -> Uuid {
        match self {
            Self::SigningKeyAdded(key) | Self::SigningKeyRetired(key) => Uuid::from_u128(u128::from(key)),
            Self::ApiKeyRevoked(id) => id.as_uuid(),
            Self::CapabilityRevoked(id) => id.as_uuid(),
            Self::TenantSuspended(id) => id.as_uuid(),
            Self::EndpointRemoved { endpoint, .. } => endpoint.as_uuid(),
            Self::Unknown { .. } => Uuid::nil(),
        }
    }

    const fn epoch(self) -> Option<Epoch> {
        match self {
            Self::EndpointRemoved { epoch, .. } => Some(epoch),
            _ => None,
        }
    }

    fn from_row(kind: i64, subject: Uuid, epoch: Option<i64>) -> Result<Self, StoreError> {
        let key_id =
            || u32::try_from(subject.as_u128()).map_err(|_| StoreError::Corrupt("a signing key's id"));
        Ok(match kind {
            1 => Self::SigningKeyAdded(key_id()?),
            2 => Self::SigningKeyRetired(key_id()?),
            3 => Self::ApiKeyRevoked(subject.into()),
            4 => Self::CapabilityRevoked(subject.into()),
            5 => Self::TenantSuspended(subject.into()),
            6 => {
                let epoch = epoch.and_then(|epoch| u64::try_from(epoch).ok());
                let epoch = Epoch(epoch.ok_or(StoreError::Corrupt("the epoch of a removed endpoint"))?);
                Self::EndpointRemoved { endpoint: subject.into(), epoch }
            }
            _ => Self::Unknown { kind },
        })
    }
}

#[derive(sqlx::FromRow)]
struct AtRow {
    at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct SeqRow {
    seq: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    kind: i64,
    subject: Uuid,
    at: i64,
    epoch: Option<i64>,
}

impl Row {
    fn into_record(self) -> Result<ChangeRecord, StoreError> {
        Ok(ChangeRecord {
            seq: self.seq,
            event: Event::from_row(self.kind, self.subject, self.epoch)?,
            at: Timestamp::from_micros(self.at),
        })
    }
}

#[cfg(test)]
mod tests {
    use adit_domain::Epoch;
    use adit_domain::id::{ApiKeyId, CapabilityId, EndpointId, TenantId};

    use super::Event;

    #[test]
    fn events_survive_their_row() {
        for event in [
            Event::SigningKeyAdded(0),
            Event::SigningKeyAdded(u32::MAX),
            Event::SigningKeyRetired(7),
            Event::ApiKeyRevoked(ApiKeyId::new()),
            Event::CapabilityRevoked(CapabilityId::new()),
            Event::TenantSuspended(TenantId::new()),
            Event::EndpointRemoved { endpoint: EndpointId::new(), epoch: Epoch(7) },
            Event::Unknown { kind: 99 },
        ] {
            let epoch = event.epoch().map(|epoch| i64::try_from(epoch.0).unwrap_or(i64::MAX));
            let read = Event::from_row(event.kind(), event.subject(), epoch);
            assert!(matches!(read, Ok(read) if read == event), "{event:?}");
        }
        assert!(Event::from_row(6, EndpointId::new().as_uuid(), None).is_err());
    }
}
