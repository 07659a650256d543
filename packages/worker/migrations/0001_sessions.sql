-- Data across sessions. Each session's object is authoritative: `sessions` and `turns` are projections of the objects.
-- Times are ISO 8601 UTC. Every statement ends with a semicolon at the end of a line, and no other line ends with one.

CREATE TABLE tokens (
  hash TEXT PRIMARY KEY, -- SHA-256 in hex; the token itself is not stored
  owner_id TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at TEXT NOT NULL
) WITHOUT ROWID;

-- Each ticket opens one WebSocket, once.
CREATE TABLE tickets (
  hash TEXT PRIMARY KEY, -- SHA-256 in hex
  session_id TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX tickets_by_expiry ON tickets (expires_at);

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL,
  status TEXT NOT NULL,
  parent_session_id TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  version INTEGER NOT NULL, -- counts the session's changes; 0 at its creation
  view TEXT NOT NULL -- JSON, as the API shows it
) WITHOUT ROWID;
CREATE INDEX sessions_by_owner ON sessions (owner_id, created_at, id);

CREATE TABLE turns (
  attempt_id TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  message_ids TEXT NOT NULL, -- JSON array
  trace_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  generation INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  model TEXT,
  outcome TEXT NOT NULL,
  error_type TEXT,
  accepted_at TEXT NOT NULL,
  dispatched_at TEXT NOT NULL,
  ended_at TEXT NOT NULL,
  queue_wait_ms REAL NOT NULL,
  queue_reasons TEXT NOT NULL, -- JSON array
  sandbox_ms REAL NOT NULL,
  bootstrap_ms REAL NOT NULL,
  turn_ms REAL NOT NULL,
  time_to_first_token_ms REAL,
  model_ms REAL NOT NULL,
  tool_ms REAL NOT NULL,
  permission_wait_ms REAL NOT NULL,
  model_calls INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  tool_errors INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  tokens_input INTEGER NOT NULL,
  tokens_output INTEGER NOT NULL,
  tokens_cache_read INTEGER NOT NULL,
  tokens_cache_write INTEGER NOT NULL,
  tokens_reasoning INTEGER NOT NULL,
  cost_usd REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX turns_by_owner ON turns (owner_id, ended_at);
CREATE INDEX turns_by_session ON turns (session_id, ended_at);
