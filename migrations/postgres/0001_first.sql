-- First schema. Same tables, columns, nullability and unique sets as migrations/sqlite; a test compares the two.
-- Ids are UUIDv7. Times are microseconds since the Unix epoch and are always bound, never read from the server's clock.

CREATE TABLE tenants (
    id                 UUID   PRIMARY KEY,
    name               TEXT   NOT NULL UNIQUE,
    endpoints_reserved BIGINT NOT NULL CHECK (endpoints_reserved >= 0),
    created_at         BIGINT NOT NULL,
    suspended_at       BIGINT
);

CREATE TABLE api_keys (
    id           UUID   PRIMARY KEY,
    tenant_id    UUID   NOT NULL REFERENCES tenants (id),
    name         TEXT   NOT NULL,
    key_hash     BYTEA  NOT NULL UNIQUE,
    hint         TEXT   NOT NULL,
    rights       BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

CREATE TABLE capabilities (
    id               UUID   PRIMARY KEY,
    tenant_id        UUID   NOT NULL REFERENCES tenants (id),
    api_key_id       UUID   NOT NULL REFERENCES api_keys (id),
    agent_public_key BYTEA  NOT NULL,
    instance         UUID   NOT NULL,
    issued_at        BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    revoked_at       BIGINT
);
CREATE INDEX capabilities_by_tenant ON capabilities (tenant_id, id);
CREATE INDEX capabilities_by_api_key ON capabilities (api_key_id, expires_at);

-- Rows are never deleted, so that a name is never given to anyone else.
CREATE TABLE endpoints (
    id              UUID   PRIMARY KEY,
    tenant_id       UUID   NOT NULL REFERENCES tenants (id),
    kind            BIGINT NOT NULL,
    hostname        TEXT   NOT NULL UNIQUE,
    default_for     TEXT,
    epoch           BIGINT NOT NULL CHECK (epoch >= 0),
    holder_instance UUID,
    holder_node     UUID,
    created_at      BIGINT NOT NULL,
    UNIQUE (tenant_id, default_for)
);

CREATE TABLE signing_keys (
    key_id     BIGINT PRIMARY KEY,
    public_key BYTEA  NOT NULL UNIQUE,
    seed       BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);

-- The change feed. Whoever appends first takes the counter's row and keeps it until commit, so commits that append
-- are serial and a reader that saw `seq` can never see a smaller one appear later.
CREATE TABLE change_counter (
    id  BIGINT PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL
);
INSERT INTO change_counter (id, seq) VALUES (1, 0);

CREATE TABLE changes (
    seq     BIGINT PRIMARY KEY,
    kind    BIGINT NOT NULL,
    subject UUID   NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX changes_by_time ON changes (at);

-- Row-level security repeats the tenant rule. `adit.scope` is set for each transaction: a tenant's id, or 'system' for
-- the few queries that `store` lists as having no tenant. Without it nothing is visible. FORCE: the owner is bound too.
CREATE FUNCTION adit_sees(tenant UUID) RETURNS BOOLEAN LANGUAGE SQL STABLE AS $$
    SELECT CASE coalesce(current_setting('adit.scope', true), '')
        WHEN '' THEN false
        WHEN 'system' THEN true
        ELSE tenant = current_setting('adit.scope', true)::uuid
    END
$$;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rule ON tenants USING (adit_sees(id));

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rule ON api_keys USING (adit_sees(tenant_id));

ALTER TABLE capabilities ENABLE ROW LEVEL SECURITY;
ALTER TABLE capabilities FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rule ON capabilities USING (adit_sees(tenant_id));

ALTER TABLE endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE endpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rule ON endpoints USING (adit_sees(tenant_id));
