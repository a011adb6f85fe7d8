-- An endpoint has one port, the one in force. Those that it had before, as another kind or in a range that has moved, stay its
-- own until `kept_until` as well: whoever still has the number must not reach anybody else.
ALTER TABLE ports ADD COLUMN in_force BIGINT NOT NULL DEFAULT 1 CHECK (in_force IN (0, 1));
ALTER TABLE ports DROP CONSTRAINT ports_endpoint_id_key;
CREATE UNIQUE INDEX ports_in_force ON ports (endpoint_id) WHERE in_force = 1;
CREATE INDEX ports_of_endpoint ON ports (endpoint_id);
