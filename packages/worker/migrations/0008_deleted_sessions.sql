-- What is left of a deleted session. A row is written in one batch with the removal of the session's other rows, and never changes;
-- no session is created or written again under its id. Rows of `turns` stay, for the statistics of their owner: they hold figures, ids
-- and names (of users, repositories, branches, models), and nothing that people, models or tools said.
CREATE TABLE deleted_sessions (
  id TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL,
  deleted_at TEXT NOT NULL, -- ISO 8601
  reason TEXT NOT NULL, -- `requested`, `retention` or `parent_session_deleted`
  deleted_by TEXT, -- the user who asked for it; NULL for the retention period
  spans_not_exported INTEGER NOT NULL, -- spans that the backend did not take
  unfinished_calls INTEGER NOT NULL -- calls to the broker and to other objects that nobody waits for any more
) WITHOUT ROWID;
CREATE INDEX tickets_by_session ON tickets (session_id);
