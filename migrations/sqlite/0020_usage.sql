-- What endpoints carried: cumulative counts per node, boot, endpoint and hour (whole hours since the Unix epoch). Of two
-- reports of the same row the larger numbers stay.

CREATE TABLE usage (
    node_id     BLOB    NOT NULL,
    boot_id     BLOB    NOT NULL,
    endpoint_id BLOB    NOT NULL REFERENCES endpoints (id),
    hour        INTEGER NOT NULL,
    tenant_id   BLOB    NOT NULL REFERENCES tenants (id),
    requests    INTEGER NOT NULL CHECK (requests >= 0),
    connections INTEGER NOT NULL CHECK (connections >= 0),
    in_bytes    INTEGER NOT NULL CHECK (in_bytes >= 0),
    out_bytes   INTEGER NOT NULL CHECK (out_bytes >= 0),
    PRIMARY KEY (node_id, boot_id, endpoint_id, hour)
) STRICT;
CREATE INDEX usage_by_tenant ON usage (tenant_id, hour);
CREATE INDEX usage_by_hour ON usage (hour);
