-- First schema. Same tables, columns, nullability and unique sets as migrations/postgres; a test compares the two.
-- Ids are UUIDv7. Times are microseconds since the Unix epoch and are always bound, never read from the engine's clock.

CREATE TABLE tenants (
    id                 BLOB    NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL UNIQUE,
    endpoints_reserved INTEGER NOT NULL CHECK (endpoints_reserved >= 0),
    created_at         INTEGER NOT NULL,
    suspended_at       INTEGER
) STRICT;

CREATE TABLE api_keys (
    id           BLOB    NOT NULL PRIMARY KEY,
    tenant_id    BLOB    NOT NULL REFERENCES tenants (id),
    name         TEXT    NOT NULL,
    key_hash     BLOB    NOT NULL UNIQUE,
    hint         TEXT    NOT NULL,
    rights       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

CREATE TABLE capabilities (
    id               BLOB    NOT NULL PRIMARY KEY,
    tenant_id        BLOB    NOT NULL REFERENCES tenants (id),
    api_key_id       BLOB    NOT NULL REFERENCES api_keys (id),
    agent_public_key BLOB    NOT NULL,
    instance         BLOB    NOT NULL,
    issued_at        INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    revoked_at       INTEGER
) STRICT;
CREATE INDEX capabilities_by_tenant ON capabilities (tenant_id, id);
CREATE INDEX capabilities_by_api_key ON capabilities (api_key_id, expires_at);

-- Rows are never deleted, so that a name is never given to anyone else.
CREATE TABLE endpoints (
    id              BLOB    NOT NULL PRIMARY KEY,
    tenant_id       BLOB    NOT NULL REFERENCES tenants (id),
    kind            INTEGER NOT NULL,
    hostname        TEXT    NOT NULL UNIQUE,
    default_for     TEXT,
    epoch           INTEGER NOT NULL CHECK (epoch >= 0),
    holder_instance BLOB,
    holder_node     BLOB,
    created_at      INTEGER NOT NULL,
    UNIQUE (tenant_id, default_for)
) STRICT;

CREATE TABLE signing_keys (
    key_id     INTEGER NOT NULL PRIMARY KEY,
    public_key BLOB    NOT NULL UNIQUE,
    seed       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;

-- The change feed. SQLite has one writer, so the counter is only there to keep the SQL the same on both engines.
CREATE TABLE change_counter (
    id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO change_counter (id, seq) VALUES (1, 0);

CREATE TABLE changes (
    seq     INTEGER NOT NULL PRIMARY KEY,
    kind    INTEGER NOT NULL,
    subject BLOB    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_by_time ON changes (at);
