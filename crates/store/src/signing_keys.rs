//! The keys that sign capabilities. They belong to the installation.

use adit_domain::{Secret, Timestamp};

use crate::StoreError;
use crate::changes::{self, Event};
use crate::engine::Engine;
use crate::limits::LIST_ROWS_MAX;
use crate::scope::{Scope, Unscoped};
use crate::statement::{Statement, statements};

statements! {
    /// Numbers grow and are never used twice. Two at once get the same number: the second one inserts nothing.
    ADD: 3 = "INSERT INTO signing_keys (key_id, public_key, seed, created_at)
        SELECT coalesce(max(key_id), 0) + 1, $1, $2, $3 FROM signing_keys WHERE true
        ON CONFLICT DO NOTHING RETURNING key_id";
    ADD_FIRST: 3 = "INSERT INTO signing_keys (key_id, public_key, seed, created_at)
        SELECT 1, $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM signing_keys)
        ON CONFLICT DO NOTHING RETURNING key_id";
    LIST: 1 = "SELECT key_id, public_key, seed, created_at, retired_at FROM signing_keys
        ORDER BY key_id DESC LIMIT $1";
    RETIRE: 2 = "UPDATE signing_keys SET retired_at = $2 WHERE key_id = $1 AND retired_at IS NULL";
}

const SCOPE: Scope = Scope::Everything(Unscoped::SigningKeys);

/// Signing keys, of an open [`Store`](crate::Store). They are the installation's, so they take no permit.
#[derive(Clone, Copy, Debug)]
pub struct SigningKeys<'a> {
    pub(crate) engine: &'a Engine,
}

/// A signing key to be kept.
#[derive(Debug)]
pub struct NewSigningKey<'a> {
    /// The Ed25519 public key (RFC 8032).
    pub public_key: &'a [u8; 32],
    /// The seed of the private key (RFC 8032, section 5.1.5). Kept as it is: whoever reads the database can sign.
    pub seed: &'a Secret<[u8; 32]>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A signing key.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// Its number, as capabilities name it.
    pub key_id: u32,
    /// The Ed25519 public key.
    pub public_key: [u8; 32],
    /// The seed of the private key.
    pub seed: Secret<[u8; 32]>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when nothing signed with it is valid.
    pub retired_at: Option<Timestamp>,
}

impl SigningKeys<'_> {
    /// Keeps a new key, tells the change feed, and returns its number.
    ///
    /// # Errors
    /// When storage fails, also because somebody else added one at the same moment.
    pub async fn add(&self, key: &NewSigningKey<'_>) -> Result<u32, StoreError> {
        self.insert(ADD, key)
            .await?
            .ok_or(StoreError::Corrupt("another signing key was added at the same moment"))
    }

    /// Keeps a key if there is none at all yet. Of several that do this at once, one wins.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn add_first(&self, key: &NewSigningKey<'_>) -> Result<Option<u32>, StoreError> {
        self.insert(ADD_FIRST, key).await
    }

    /// All keys, retired ones too, newest first, at most [`LIST_ROWS_MAX`].
    ///
    /// # Errors
    /// When storage fails.
    pub async fn list(&self) -> Result<Vec<SigningKey>, StoreError> {
        let mut tx = self.engine.read(SCOPE).await?;
        let rows: Vec<Row> = tx.all(LIST, [LIST_ROWS_MAX.into()]).await?;
        rows.into_iter().map(Row::into_key).collect()
    }

    /// Retires a key and tells the change feed: nothing signed with it is valid any more. Says whether it was in use.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn retire(&self, key_id: u32, at: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.engine.write(SCOPE).await?;
        if tx.execute(RETIRE, [key_id.into(), at.into()]).await? == 0 {
            return Ok(false);
        }
        changes::append(&mut tx, Event::SigningKeyRetired(key_id), at).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl SigningKeys<'_> {
    async fn insert(
        &self,
        statement: Statement<3>,
        key: &NewSigningKey<'_>,
    ) -> Result<Option<u32>, StoreError> {
        let mut tx = self.engine.write(SCOPE).await?;
        let values = [key.public_key.into(), key.seed.expose().into(), key.created_at.into()];
        let Some(row) = tx.optional::<IdRow, _>(statement, values).await? else {
            return Ok(None);
        };
        let key_id = key_id(row.key_id)?;
        changes::append(&mut tx, Event::SigningKeyAdded(key_id), key.created_at).await?;
        tx.commit().await?;
        Ok(Some(key_id))
    }
}

fn key_id(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Corrupt("a signing key's id"))
}

#[derive(sqlx::FromRow)]
struct IdRow {
    key_id: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    key_id: i64,
    public_key: Vec<u8>,
    seed: Vec<u8>,
    created_at: i64,
    retired_at: Option<i64>,
}

impl Row {
    fn into_key(self) -> Result<SigningKey, StoreError> {
        let row_seed = Secret::new(self.seed);
        let seed = <[u8; 32]>::try_from(row_seed.expose().as_slice());
        let seed = seed.map_err(|_| StoreError::Corrupt("a signing key's seed"))?;
        Ok(SigningKey {
            key_id: key_id(self.key_id)?,
            public_key: self.public_key.try_into().map_err(|_| StoreError::Corrupt("a signing key"))?,
            seed: Secret::new(seed),
            created_at: Timestamp::from_micros(self.created_at),
            retired_at: self.retired_at.map(Timestamp::from_micros),
        })
    }
}
