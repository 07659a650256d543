-- Where the events of an owner's sessions are sent. A row changes when a try fails, and with the first that succeeds after that.
CREATE TABLE webhooks (
  id TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL,
  url TEXT NOT NULL,
  events TEXT NOT NULL, -- JSON array
  secrets TEXT NOT NULL, -- sealed; JSON
  previous_until TEXT, -- until when the secret before is also used, ISO 8601
  created_at TEXT NOT NULL,
  disabled TEXT, -- `gone` or `failing`; NULL while it is enabled
  failing_since TEXT, -- NULL unless the last try failed
  failed_at TEXT,
  failures INTEGER NOT NULL DEFAULT 0, -- in a row
  last_error TEXT,
  given_up INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX webhooks_by_owner ON webhooks (owner_id, created_at, id);
