//! Growing counts become rows, one for each endpoint and hour.

use std::collections::HashMap;

use adit_authority::UsageRow;
use adit_domain::id::{BootId, EndpointId, NodeId};
use adit_domain::{Carried, Timestamp};

use crate::limits::USAGE_ROWS_KEPT_MAX;

/// The rows of this node that still change or that the control plane may not have, and how far each endpoint has been
/// written down.
///
/// What was carried counts in the hour in which it is written down.
pub(crate) struct Book {
    node: NodeId,
    boot: BootId,
    hour: u32,
    rows: HashMap<RowKey, Row>,
    /// How far the counts of each endpoint stand in rows.
    written: HashMap<EndpointId, Carried>,
}

/// Which row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RowKey {
    node: NodeId,
    boot: BootId,
    endpoint: EndpointId,
    hour: u32,
}

struct Row {
    carried: Carried,
    /// How much of it the control plane has confirmed.
    confirmed: Carried,
}

impl Book {
    /// A book whose next rows are of a new boot, with the rows that earlier ones left.
    pub(crate) fn new(node: NodeId, left: impl IntoIterator<Item = UsageRow>, now: Timestamp) -> Self {
        let (boot, hour) = (BootId::new(), hour_of(now));
        let mut new = Self { node, boot, hour, rows: HashMap::new(), written: HashMap::new() };
        new.take_over(left);
        new
    }

    /// Enters rows that a process left which has ended.
    pub(crate) fn take_over(&mut self, left: impl IntoIterator<Item = UsageRow>) {
        for row in left {
            // Two files may hold the same row: one was read by a process that ended before it could delete it.
            let kept = self.rows.entry(RowKey::of(&row)).or_insert_with(Row::empty);
            kept.carried = kept.carried.largest(row.carried);
        }
    }

    /// Writes down how far the counts of each endpoint have come, and says whether anything is new.
    pub(crate) fn write(
        &mut self,
        counts: impl IntoIterator<Item = (EndpointId, Carried)>,
        now: Timestamp,
    ) -> bool {
        self.turn_to(hour_of(now));
        let mut is_new = false;
        for (endpoint, count) in counts {
            let written = self.written.entry(endpoint).or_default();
            let more = count.since(*written);
            if more.is_none() {
                continue;
            }
            *written = count;
            is_new = true;
            let key = RowKey { node: self.node, boot: self.boot, endpoint, hour: self.hour };
            let row = self.rows.entry(key).or_insert_with(Row::empty);
            row.carried = row.carried.plus(more);
        }
        is_new
    }

    /// A clock that goes back would lead to rows that may be closed already: they would be begun anew and, being smaller,
    /// lost. Rows of another boot are others. And while the control plane takes nothing and rows pile up, no new hour is
    /// begun: everything is still counted, in fewer rows.
    fn turn_to(&mut self, hour: u32) {
        if hour < self.hour {
            self.boot = BootId::new();
        } else if self.rows.len() >= USAGE_ROWS_KEPT_MAX {
            return;
        }
        self.hour = hour;
    }

    /// Every row, for the spool.
    pub(crate) fn rows(&self) -> impl Iterator<Item = UsageRow> {
        self.rows.iter().map(|(key, row)| key.with(row.carried))
    }

    /// Rows of which the control plane lacks something, at most `rows_max`.
    pub(crate) fn unconfirmed(&self, rows_max: usize) -> Vec<UsageRow> {
        let lacks = self.rows.iter().filter(|(_, row)| row.carried != row.confirmed);
        lacks.take(rows_max).map(|(key, row)| key.with(row.carried)).collect()
    }

    /// The control plane has these.
    pub(crate) fn confirm(&mut self, rows: &[UsageRow]) {
        for row in rows {
            if let Some(kept) = self.rows.get_mut(&RowKey::of(row)) {
                kept.confirmed = row.carried;
            }
        }
    }

    /// Drops the rows that the control plane has whole and that will not change, and says whether there were any.
    pub(crate) fn drop_closed(&mut self) -> bool {
        let (before, boot, hour) = (self.rows.len(), self.boot, self.hour);
        self.rows.retain(|key, row| (key.boot == boot && key.hour == hour) || row.carried != row.confirmed);
        self.rows.len() != before
    }

    /// Whether an endpoint's counts may start again from zero: all of them stand in rows, and none of these rows can
    /// still change.
    pub(crate) fn is_settled(&self, endpoint: EndpointId, count: Carried) -> bool {
        let written = self.written.get(&endpoint).copied().unwrap_or_default();
        let open = RowKey { node: self.node, boot: self.boot, endpoint, hour: self.hour };
        written == count && !self.rows.contains_key(&open)
    }

    /// Forgets how far the endpoints have been written down whose meters are gone: new ones start from zero.
    pub(crate) fn forget(&mut self, endpoints: &[EndpointId]) {
        for endpoint in endpoints {
            self.written.remove(endpoint);
        }
    }
}

impl RowKey {
    fn of(row: &UsageRow) -> Self {
        Self { node: row.node, boot: row.boot, endpoint: row.endpoint, hour: row.hour }
    }

    fn with(self, carried: Carried) -> UsageRow {
        let Self { node, boot, endpoint, hour } = self;
        UsageRow { node, boot, endpoint, hour, carried }
    }
}

impl Row {
    fn empty() -> Self {
        Self { carried: Carried::default(), confirmed: Carried::default() }
    }
}

/// Whole hours since the Unix epoch.
fn hour_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_micros().div_euclid(3_600_000_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
