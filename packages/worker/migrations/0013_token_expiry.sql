-- When a token stops being valid; NULL: never. Revoked tokens are deleted.
ALTER TABLE tokens ADD COLUMN expires_at TEXT;
-- When it was last used, exact to the hour; NULL: not yet, or not since this column exists.
ALTER TABLE tokens ADD COLUMN last_used_at TEXT;
-- The id of the token that made it; NULL for tokens that were not made over the API.
ALTER TABLE tokens ADD COLUMN created_by TEXT;
CREATE INDEX tokens_by_owner ON tokens (owner_id, created_at);
