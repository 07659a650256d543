-- Tickets that open one WebSocket, once, in the place of `tickets`: each ends with the token that made it. `tickets` stays for a Worker of
-- the version before, which writes it while this one is deployed, and after a downgrade.
CREATE TABLE socket_tickets (
  hash TEXT PRIMARY KEY, -- SHA-256 in hex
  session_id TEXT NOT NULL,
  token_hash TEXT NOT NULL, -- of the token that made it
  expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX socket_tickets_by_expiry ON socket_tickets (expires_at);
CREATE INDEX socket_tickets_by_session ON socket_tickets (session_id);
