//! SQL as constants that run on both engines, and the values they take.

use std::num::NonZeroU16;

use adit_domain::id::{ApiKeyId, BootId, CapabilityId, EndpointId, InstanceId, NodeId, TenantId};
use adit_domain::{EndpointKind, Epoch, Hostname, KeyHash, Rights, Timestamp};
use uuid::Uuid;

/// One SQL text with the placeholders `$1` to `$N`.
///
/// SQLite reads a placeholder without a value as NULL in silence, so the number of values is part of the type.
#[derive(Clone, Copy)]
pub(crate) struct Statement<const N: usize> {
    pub(crate) sql: &'static str,
}

impl<const N: usize> Statement<N> {
    /// A statement. Does not compile unless the highest placeholder of `sql` is `$N`.
    pub(crate) const fn new(sql: &'static str) -> Self {
        assert!(highest_placeholder(sql.as_bytes()) == N, "the highest placeholder is not $N");
        Self { sql }
    }
}

const fn highest_placeholder(sql: &[u8]) -> usize {
    let (mut at, mut highest) = (0, 0);
    while at < sql.len() {
        if sql[at] == b'$' {
            let mut number = 0;
            while at + 1 < sql.len() && sql[at + 1].is_ascii_digit() {
                at += 1;
                number = number * 10 + (sql[at] - b'0') as usize;
            }
            if number > highest {
                highest = number;
            }
        }
        at += 1;
    }
    highest
}

/// Declares statements, and `STATEMENTS` with the name and text of each, so that a test can prepare them all.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $n:literal = $sql:expr;)+) => {
        $($(#[$doc])* const $name: crate::statement::Statement<$n> = crate::statement::Statement::new($sql);)+

        /// Every statement of this file: name, text, number of values.
        #[cfg(test)]
        pub(crate) const STATEMENTS: &[crate::statement::Listed] = &[$((stringify!($name), $sql, $n),)+];
    };
}
pub(crate) use statements;

/// Name, text and number of values of a statement.
#[cfg(test)]
pub(crate) type Listed = (&'static str, &'static str, usize);

/// A value of a placeholder. An absent one has a type too: Postgres asks for it.
#[derive(Clone)]
pub(crate) enum Value {
    Id(Option<Uuid>),
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

macro_rules! values {
    ($($from:ty => |$value:ident| $make:expr;)+) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $make
            }
        }
    )+};
}

values! {
    Uuid => |id| Self::Id(Some(id));
    TenantId => |id| Self::Id(Some(id.as_uuid()));
    ApiKeyId => |id| Self::Id(Some(id.as_uuid()));
    CapabilityId => |id| Self::Id(Some(id.as_uuid()));
    EndpointId => |id| Self::Id(Some(id.as_uuid()));
    InstanceId => |id| Self::Id(Some(id.as_uuid()));
    NodeId => |id| Self::Id(Some(id.as_uuid()));
    BootId => |id| Self::Id(Some(id.as_uuid()));
    Timestamp => |at| Self::Int(Some(at.as_micros()));
    Option<Timestamp> => |at| Self::Int(at.map(Timestamp::as_micros));
    Option<Epoch> => |epoch| Self::Int(epoch.map(|epoch| i64::try_from(epoch.0).unwrap_or(i64::MAX)));
    Epoch => |epoch| Self::Int(Some(i64::try_from(epoch.0).unwrap_or(i64::MAX)));
    Rights => |rights| Self::Int(Some(rights.bits().cast_signed()));
    EndpointKind => |kind| Self::Int(Some(i64::from(kind.code())));
    NonZeroU16 => |port| Self::Int(Some(i64::from(port.get())));
    i64 => |number| Self::Int(Some(number));
    u32 => |number| Self::Int(Some(i64::from(number)));
    &str => |text| Self::Text(Some(text.to_owned()));
    Option<&str> => |text| Self::Text(text.map(str::to_owned));
    &Hostname => |name| Self::Text(Some(name.as_str().to_owned()));
    KeyHash => |hash| Self::Bytes(hash.0.to_vec());
    &[u8; 32] => |bytes| Self::Bytes(bytes.to_vec());
}

#[cfg(test)]
mod tests {
    use super::highest_placeholder;

    #[test]
    fn placeholders_are_counted_by_their_number() {
        for (sql, highest) in [
            ("SELECT 1", 0),
            ("SELECT $1", 1),
            ("UPDATE t SET a = $2 WHERE b = $1 AND c = $2", 2),
            ("$12$3", 12),
            ("$", 0),
        ] {
            assert_eq!(highest_placeholder(sql.as_bytes()), highest, "{sql}");
        }
    }
}
