-- Public ports that endpoints have. A port belongs to its endpoint until `kept_until`, which moves on while it is served;
-- from then on another endpoint may take its row over. TCP and UDP (`kind`, as in endpoints) count apart.
-- No row-level security: whether a port is free depends on every tenant's, and a row says nothing but an endpoint's id.
CREATE TABLE ports (
    kind        BIGINT NOT NULL,
    port        BIGINT NOT NULL CHECK (port BETWEEN 1 AND 65535),
    endpoint_id UUID   NOT NULL UNIQUE REFERENCES endpoints (id),
    kept_until  BIGINT NOT NULL,
    PRIMARY KEY (kind, port)
);
