-- What endpoints carried: cumulative counts per node, boot, endpoint and hour (whole hours since the Unix epoch). Of two
-- reports of the same row the larger numbers stay.

CREATE TABLE usage (
    node_id     UUID   NOT NULL,
    boot_id     UUID   NOT NULL,
    endpoint_id UUID   NOT NULL REFERENCES endpoints (id),
    hour        BIGINT NOT NULL,
    tenant_id   UUID   NOT NULL REFERENCES tenants (id),
    requests    BIGINT NOT NULL CHECK (requests >= 0),
    connections BIGINT NOT NULL CHECK (connections >= 0),
    in_bytes    BIGINT NOT NULL CHECK (in_bytes >= 0),
    out_bytes   BIGINT NOT NULL CHECK (out_bytes >= 0),
    PRIMARY KEY (node_id, boot_id, endpoint_id, hour)
);
CREATE INDEX usage_by_tenant ON usage (tenant_id, hour);
CREATE INDEX usage_by_hour ON usage (hour);

ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rule ON usage USING (adit_sees(tenant_id));
