//! API keys: long-lived secrets, kept as hashes.

use adit_domain::access::{Action, Permit};
use adit_domain::id::{ApiKeyId, TenantId};
use adit_domain::{KeyHash, Rights, Timestamp};
use uuid::Uuid;

use crate::changes::{self, Event};
use crate::engine::Engine;
use crate::limits::LIST_ROWS_MAX;
use crate::scope::{Scope, Unscoped, installation_scope, tenant_scope};
use crate::statement::statements;
use crate::{Revocation, StoreError};

statements! {
    INSERT: 8 = "INSERT INTO api_keys (id, tenant_id, name, key_hash, hint, rights, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST: 2 = "SELECT id, name, hint, rights, created_at, expires_at, revoked_at, last_used_at
        FROM api_keys WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2";
    REVOKE: 3 = "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
    EXISTS: 2 = "SELECT id FROM api_keys WHERE tenant_id = $1 AND id = $2";
    OWNER: 1 = "SELECT tenant_id AS id FROM api_keys WHERE id = $1";
    BY_HASH: 1 = "SELECT k.id, k.tenant_id, k.key_hash, k.rights, k.expires_at, k.revoked_at, t.suspended_at
        FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.key_hash = $1";
}

/// API keys, of an open [`Store`](crate::Store).
#[derive(Clone, Copy, Debug)]
pub struct ApiKeys<'a> {
    pub(crate) engine: &'a Engine,
}

/// An API key to be kept.
#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: ApiKeyId,
    /// What a person calls it.
    pub name: &'a str,
    /// The hash of the whole key.
    pub hash: KeyHash,
    /// The last characters of the key, by which a person recognises it.
    pub hint: &'a str,
    /// What it allows.
    pub rights: Rights,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// An API key as its tenant sees it. Neither the key nor its hash is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its id.
    pub id: ApiKeyId,
    /// What a person calls it.
    pub name: String,
    /// The last characters of the key.
    pub hint: String,
    /// What it allows.
    pub rights: Rights,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When a capability was last made from it.
    pub last_used_at: Option<Timestamp>,
}

/// Whose key it is that was shown, and whether it still counts.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    /// The key's id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The hash as it was kept, to be compared in constant time.
    pub hash: KeyHash,
    /// What it allows.
    pub rights: Rights,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Since when its tenant is suspended.
    pub suspended_at: Option<Timestamp>,
}

impl ApiKeys<'_> {
    /// Keeps a new key of the permit's tenant.
    ///
    /// # Errors
    /// When storage fails, and when the tenant does not exist.
    pub async fn create(&self, permit: &Permit, key: &NewApiKey<'_>) -> Result<(), StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageKeys)?;
        let mut tx = self.engine.write(scope).await?;
        let values = [
            key.id.into(),
            tenant.into(),
            key.name.into(),
            key.hash.into(),
            key.hint.into(),
            key.rights.into(),
            key.created_at.into(),
            key.expires_at.into(),
        ];
        tx.execute(INSERT, values).await?;
        tx.commit().await
    }

    /// The newest [`LIST_ROWS_MAX`] keys of the permit's tenant, revoked ones too, newest first.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn list(&self, permit: &Permit) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageKeys)?;
        let mut tx = self.engine.read(scope).await?;
        let rows: Vec<Row> = tx.all(LIST, [tenant.into(), LIST_ROWS_MAX.into()]).await?;
        Ok(rows.into_iter().map(Row::into_record).collect())
    }

    /// Revokes a key of the permit's tenant and tells the change feed, in one transaction.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn revoke(
        &self,
        permit: &Permit,
        id: ApiKeyId,
        at: Timestamp,
    ) -> Result<Revocation, StoreError> {
        let (tenant, scope) = tenant_scope(permit, Action::ManageKeys)?;
        let mut tx = self.engine.write(scope).await?;
        if tx.execute(REVOKE, [tenant.into(), id.into(), at.into()]).await? == 1 {
            changes::append(&mut tx, Event::ApiKeyRevoked(id), at).await?;
            tx.commit().await?;
            return Ok(Revocation::Revoked);
        }
        let known = tx.optional::<IdRow, _>(EXISTS, [tenant.into(), id.into()]).await?.is_some();
        Ok(if known { Revocation::AlreadyRevoked } else { Revocation::Unknown })
    }

    /// Whose key this is. The permit is for the installation.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn owner(&self, permit: &Permit, id: ApiKeyId) -> Result<Option<TenantId>, StoreError> {
        let mut tx = self.engine.read(installation_scope(permit)?).await?;
        Ok(tx.optional::<IdRow, _>(OWNER, [id.into()]).await?.map(|row| row.id.into()))
    }

    /// Whose key was shown, found by its hash. Needs no permit: this is where one begins.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn by_hash(&self, hash: KeyHash) -> Result<Option<KeyOwner>, StoreError> {
        let mut tx = self.engine.read(Scope::Everything(Unscoped::KeyLookup)).await?;
        tx.optional::<OwnerRow, _>(BY_HASH, [hash.into()]).await?.map(OwnerRow::into_owner).transpose()
    }
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    hint: String,
    rights: i64,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl Row {
    fn into_record(self) -> ApiKeyRecord {
        ApiKeyRecord {
            id: self.id.into(),
            name: self.name,
            hint: self.hint,
            rights: Rights::from_bits(self.rights.cast_unsigned()),
            created_at: Timestamp::from_micros(self.created_at),
            expires_at: self.expires_at.map(Timestamp::from_micros),
            revoked_at: self.revoked_at.map(Timestamp::from_micros),
            last_used_at: self.last_used_at.map(Timestamp::from_micros),
        }
    }
}

#[derive(sqlx::FromRow)]
struct OwnerRow {
    id: Uuid,
    tenant_id: Uuid,
    key_hash: Vec<u8>,
    rights: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    suspended_at: Option<i64>,
}

impl OwnerRow {
    fn into_owner(self) -> Result<KeyOwner, StoreError> {
        let hash = self.key_hash.try_into().map_err(|_| StoreError::Corrupt("a key's hash"))?;
        Ok(KeyOwner {
            id: self.id.into(),
            tenant: self.tenant_id.into(),
            hash: KeyHash(hash),
            rights: Rights::from_bits(self.rights.cast_unsigned()),
            expires_at: self.expires_at.map(Timestamp::from_micros),
            revoked_at: self.revoked_at.map(Timestamp::from_micros),
            suspended_at: self.suspended_at.map(Timestamp::from_micros),
        })
    }
}
