//! The change feed: no gaps, no late arrivals.

use std::sync::Arc;

use adit_domain::Timestamp;
use adit_store::limits::CHANGES_PAGE_MAX;
use adit_store::{NewSigningKey, Revocation};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, NOW, manage, on_both_engines};

on_both_engines![a_reader_never_misses_a_change, pages_and_pruning];

/// Eight writers at once; a reader that goes on from the last number it saw must see each one.
async fn a_reader_never_misses_a_change(fixture: Fixture) {
    const WRITERS: i64 = 8;
    const EACH: i64 = 12;
    let fixture = Arc::new(fixture);
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let tenant = fixture.tenant(&format!("tenant-{n}")).await;
        let fixture = Arc::clone(&fixture);
        writers.spawn(async move {
            for _ in 0..EACH {
                let key = fixture.key(tenant.id, None).await;
                let revoked = fixture.store.api_keys().revoke(&manage(tenant.id), key, NOW).await.unwrap();
                assert_eq!(revoked, Revocation::Revoked);
            }
        });
    }
    let mut seen = 0;
    while seen < WRITERS * EACH {
        for change in fixture.store.changes().after(seen).await.unwrap() {
            assert_eq!(change.seq, seen + 1);
            seen = change.seq;
        }
    }
    writers.join_all().await;
    assert_eq!(fixture.store.changes().latest().await.unwrap(), WRITERS * EACH);
}

async fn pages_and_pruning(fixture: Fixture) {
    let changes = fixture.store.changes();
    assert!(!changes.has_gap_after(0).await.unwrap());
    for n in 0..=CHANGES_PAGE_MAX {
        let mut public_key = [0; 32];
        public_key[..4].copy_from_slice(&n.to_le_bytes());
        let key = NewSigningKey {
            public_key: &public_key,
            seed: &adit_domain::Secret::new([1; 32]),
            created_at: Timestamp::from_micros(i64::from(n)),
        };
        fixture.store.signing_keys().add(&key).await.unwrap();
    }
    assert_eq!(changes.after(0).await.unwrap().len(), CHANGES_PAGE_MAX as usize);
    assert_eq!(changes.after(1).await.unwrap().len(), CHANGES_PAGE_MAX as usize);
    assert_eq!(changes.after(2).await.unwrap().len(), CHANGES_PAGE_MAX as usize - 1);
    assert_eq!(changes.prune(Timestamp::from_micros(10)).await.unwrap(), 10);
    assert!(changes.has_gap_after(9).await.unwrap());
    assert!(!changes.has_gap_after(10).await.unwrap());
    changes.prune(NOW).await.unwrap();
    assert!(changes.has_gap_after(i64::from(CHANGES_PAGE_MAX)).await.unwrap());
    assert!(!changes.has_gap_after(i64::from(CHANGES_PAGE_MAX) + 1).await.unwrap());
    // As after the database was put back to an older copy.
    assert!(changes.has_gap_after(i64::from(CHANGES_PAGE_MAX) + 2).await.unwrap());
}
