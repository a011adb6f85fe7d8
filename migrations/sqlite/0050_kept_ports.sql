-- An endpoint has one port, the one in force. Those that it had before, as another kind or in a range that has moved, stay its
-- own until `kept_until` as well: whoever still has the number must not reach anybody else.
CREATE TABLE ports_kept (
    kind        INTEGER NOT NULL,
    port        INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    endpoint_id BLOB    NOT NULL REFERENCES endpoints (id),
    kept_until  INTEGER NOT NULL,
    in_force    INTEGER NOT NULL DEFAULT 1 CHECK (in_force IN (0, 1)),
    PRIMARY KEY (kind, port)
) STRICT;
INSERT INTO ports_kept (kind, port, endpoint_id, kept_until) SELECT kind, port, endpoint_id, kept_until FROM ports;
DROP TABLE ports;
ALTER TABLE ports_kept RENAME TO ports;
CREATE UNIQUE INDEX ports_in_force ON ports (endpoint_id) WHERE in_force = 1;
CREATE INDEX ports_of_endpoint ON ports (endpoint_id);
