-- What the tenant bought, by name. What it allows is in the program.
ALTER TABLE tenants ADD COLUMN plan TEXT NOT NULL DEFAULT 'self-hosted';
