-- Since when an endpoint is removed. Its name stays its tenant's, so that it is never given to anyone else, and so does its
-- port until `kept_until`; the tenant can take the name again.
ALTER TABLE endpoints ADD COLUMN removed_at INTEGER;
-- The first epoch that a change leaves alone, for changes that end older ones.
ALTER TABLE changes ADD COLUMN epoch INTEGER;
