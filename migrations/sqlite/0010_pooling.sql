-- Whether the agents of the current epoch serve the endpoint together: then another one that asks for it joins.
ALTER TABLE endpoints ADD COLUMN pooled INTEGER NOT NULL DEFAULT 0 CHECK (pooled IN (0, 1));
