-- Public ports that endpoints have. A port belongs to its endpoint until `kept_until`, which moves on while it is served;
-- from then on another endpoint may take its row over. TCP and UDP (`kind`, as in endpoints) count apart.
CREATE TABLE ports (
    kind        INTEGER NOT NULL,
    port        INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    endpoint_id BLOB    NOT NULL UNIQUE REFERENCES endpoints (id),
    kept_until  INTEGER NOT NULL,
    PRIMARY KEY (kind, port)
) STRICT;
