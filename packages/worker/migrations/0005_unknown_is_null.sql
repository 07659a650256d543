-- Unknown values of a turn are NULL; so far they were 0. SQLite cannot remove NOT NULL from a column, so the table is recreated.
CREATE TABLE turns_anew (
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
  outcome_reason TEXT,
  error_cause TEXT,
  accepted_at TEXT NOT NULL,
  dispatched_at TEXT NOT NULL,
  ended_at TEXT NOT NULL,
  queue_wait_ms REAL NOT NULL,
  queue_reasons TEXT NOT NULL, -- JSON array
  sandbox_ms REAL NOT NULL,
  bootstrap_ms REAL NOT NULL,
  turn_ms REAL NOT NULL,
  time_to_first_token_ms REAL,
  prepare_ms REAL,
  model_ms REAL,
  tool_ms REAL,
  permission_wait_ms REAL,
  model_calls INTEGER,
  tool_calls INTEGER,
  tool_errors INTEGER,
  retries INTEGER,
  tokens_input INTEGER,
  tokens_output INTEGER,
  tokens_cache_read INTEGER,
  tokens_cache_write INTEGER,
  tokens_reasoning INTEGER,
  cost_usd REAL,
  calls_without_usage INTEGER,
  calls_without_cost INTEGER,
  calls_with_odd_usage INTEGER
) WITHOUT ROWID;
INSERT INTO turns_anew (
  attempt_id, owner_id, session_id, message_ids, trace_id, channel, generation, attempt, model, outcome, error_type,
  outcome_reason, error_cause, accepted_at, dispatched_at, ended_at, queue_wait_ms, queue_reasons, sandbox_ms, bootstrap_ms, turn_ms,
  time_to_first_token_ms, model_ms, tool_ms, permission_wait_ms, model_calls, tool_calls, tool_errors, retries, tokens_input,
  tokens_output, tokens_cache_read, tokens_cache_write, tokens_reasoning, cost_usd)
SELECT
  attempt_id, owner_id, session_id, message_ids, trace_id, channel, generation, attempt, model, outcome, error_type,
  outcome_reason, error_cause, accepted_at, dispatched_at, ended_at, queue_wait_ms, queue_reasons, sandbox_ms, bootstrap_ms, turn_ms,
  time_to_first_token_ms, model_ms, tool_ms, permission_wait_ms, model_calls, tool_calls, tool_errors, retries, tokens_input,
  tokens_output, tokens_cache_read, tokens_cache_write, tokens_reasoning, cost_usd
FROM turns;
DROP TABLE turns;
ALTER TABLE turns_anew RENAME TO turns;
CREATE INDEX turns_by_owner ON turns (owner_id, ended_at);
CREATE INDEX turns_by_session ON turns (session_id, ended_at);
