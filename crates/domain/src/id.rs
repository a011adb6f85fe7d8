//! Typed identifiers: one type per noun, so that a key's id cannot be passed where a tenant's is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id: UUID version 7 (RFC 9562, section 5.7), so that ids sort by creation time.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with these 16 bytes, in network order.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of this id, in network order.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// This id as the general type, for storage.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

typed_id! {
    /// Names a tenant: the unit of isolation, quota and billing.
    TenantId;
    /// Names an API key; never the key itself.
    ApiKeyId;
    /// Names a capability that was handed out.
    CapabilityId;
    /// Names an endpoint: a durable public address.
    EndpointId;
    /// Names one running copy of the agent.
    InstanceId;
    /// Names a node.
    NodeId;
    /// Names one unbroken run of a node's counters: they never go back as long as it lasts.
    BootId;
    /// Names one authenticated connection of an agent.
    SessionId;
    /// Names one request or connection of a visitor.
    RequestId;
}

#[cfg(test)]
mod tests {
    use super::TenantId;

    #[test]
    fn bytes_and_text_round_trip() {
        let id = TenantId::new();
        assert_eq!(TenantId::from_bytes(id.to_bytes()), id);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn later_ids_sort_later() {
        let ids: Vec<_> = (0..64).map(|_| TenantId::new()).collect();
        assert!(ids.is_sorted());
    }
}
