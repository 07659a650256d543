-- Signing in to the session explorer: a one-time ticket becomes the session of a browser. Both end with the token that made the ticket.
CREATE TABLE page_tickets (
  hash TEXT PRIMARY KEY, -- SHA-256 in hex
  owner_id TEXT NOT NULL,
  token_hash TEXT NOT NULL, -- of the token that made it
  expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX page_tickets_by_owner ON page_tickets (owner_id, expires_at);

CREATE TABLE page_sessions (
  hash TEXT PRIMARY KEY, -- SHA-256 in hex, of the cookie's value
  owner_id TEXT NOT NULL,
  token_hash TEXT NOT NULL, -- of the token that made its ticket
  expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX page_sessions_by_owner ON page_sessions (owner_id, expires_at);
