-- Lists and statistics of turns across sessions. What a request reads does not depend on how many turns there are.

-- Each index has the turns of a page together and in order; those of users, repositories, errors and outcomes only the turns that have one.
DROP INDEX turns_by_owner;
DROP INDEX turns_by_session;
CREATE INDEX turns_by_owner ON turns (owner_id, ended_at, attempt_id);
CREATE INDEX turns_by_session ON turns (session_id, ended_at, attempt_id);
CREATE INDEX turns_by_user ON turns (owner_id, user_id, ended_at, attempt_id) WHERE user_id IS NOT NULL;
CREATE INDEX turns_by_repository ON turns (owner_id, repository, ended_at, attempt_id) WHERE repository IS NOT NULL;
CREATE INDEX turns_by_error ON turns (owner_id, error_type, ended_at, attempt_id) WHERE error_type IS NOT NULL;
CREATE INDEX turns_by_outcome ON turns (owner_id, outcome, ended_at, attempt_id) WHERE outcome <> 'ok';

-- One row for each hour and combination of keys; '' is unknown. A measure is JSON: `sum`, and how many turns are in each bucket of a
-- logarithmic histogram. The bucket of a value v is CEIL(20 * LN(v)), that of 0 is `zero` (packages/shared/src/answers/turn-stats/histogram.ts).
CREATE TABLE turn_rollups (
  owner_id TEXT NOT NULL,
  hour TEXT NOT NULL, -- in which the turns ended, YYYY-MM-DDTHH in UTC
  user_id TEXT NOT NULL,
  repository TEXT NOT NULL,
  branch TEXT NOT NULL,
  channel TEXT NOT NULL,
  model TEXT NOT NULL,
  outcome TEXT NOT NULL,
  error_type TEXT NOT NULL,
  turns INTEGER NOT NULL,
  queue_wait_ms TEXT NOT NULL,
  time_to_first_token_ms TEXT NOT NULL,
  turn_ms TEXT NOT NULL,
  cost_usd TEXT NOT NULL,
  tokens_input TEXT NOT NULL,
  tokens_output TEXT NOT NULL,
  PRIMARY KEY (owner_id, hour, user_id, repository, branch, channel, model, outcome, error_type)
) WITHOUT ROWID;

-- What the rollups take of a turn: its keys, its measures, and their buckets.
CREATE VIEW turn_facts AS SELECT attempt_id, owner_id, SUBSTR(ended_at, 1, 13) AS hour,
  IFNULL(user_id, '') AS user_id, IFNULL(repository, '') AS repository, IFNULL(branch, '') AS branch, channel, IFNULL(model, '') AS model, outcome, IFNULL(error_type, '') AS error_type,
  queue_wait_ms, CASE WHEN queue_wait_ms > 0 THEN CAST(CAST(CEIL(20 * LN(queue_wait_ms)) AS INTEGER) AS TEXT) WHEN queue_wait_ms = 0 THEN 'zero' END AS queue_wait_ms_in,
  time_to_first_token_ms, CASE WHEN time_to_first_token_ms > 0 THEN CAST(CAST(CEIL(20 * LN(time_to_first_token_ms)) AS INTEGER) AS TEXT) WHEN time_to_first_token_ms = 0 THEN 'zero' END AS time_to_first_token_ms_in,
  turn_ms, CASE WHEN turn_ms > 0 THEN CAST(CAST(CEIL(20 * LN(turn_ms)) AS INTEGER) AS TEXT) WHEN turn_ms = 0 THEN 'zero' END AS turn_ms_in,
  cost_usd, CASE WHEN cost_usd > 0 THEN CAST(CAST(CEIL(20 * LN(cost_usd)) AS INTEGER) AS TEXT) WHEN cost_usd = 0 THEN 'zero' END AS cost_usd_in,
  tokens_input, CASE WHEN tokens_input > 0 THEN CAST(CAST(CEIL(20 * LN(tokens_input)) AS INTEGER) AS TEXT) WHEN tokens_input = 0 THEN 'zero' END AS tokens_input_in,
  tokens_output, CASE WHEN tokens_output > 0 THEN CAST(CAST(CEIL(20 * LN(tokens_output)) AS INTEGER) AS TEXT) WHEN tokens_output = 0 THEN 'zero' END AS tokens_output_in
  FROM turns;

-- Adds a turn to its rollup: one row is written, whatever the number of measures.
CREATE TRIGGER turn_facts_roll_up INSTEAD OF INSERT ON turn_facts
BEGIN
  INSERT INTO turn_rollups VALUES (NEW.owner_id, NEW.hour, NEW.user_id, NEW.repository, NEW.branch, NEW.channel, NEW.model, NEW.outcome, NEW.error_type, 1,
    IIF(NEW.queue_wait_ms_in IS NULL, '{}', json_object('sum', NEW.queue_wait_ms, NEW.queue_wait_ms_in, 1)),
    IIF(NEW.time_to_first_token_ms_in IS NULL, '{}', json_object('sum', NEW.time_to_first_token_ms, NEW.time_to_first_token_ms_in, 1)),
    IIF(NEW.turn_ms_in IS NULL, '{}', json_object('sum', NEW.turn_ms, NEW.turn_ms_in, 1)),
    IIF(NEW.cost_usd_in IS NULL, '{}', json_object('sum', NEW.cost_usd, NEW.cost_usd_in, 1)),
    IIF(NEW.tokens_input_in IS NULL, '{}', json_object('sum', NEW.tokens_input, NEW.tokens_input_in, 1)),
    IIF(NEW.tokens_output_in IS NULL, '{}', json_object('sum', NEW.tokens_output, NEW.tokens_output_in, 1)))
  ON CONFLICT (owner_id, hour, user_id, repository, branch, channel, model, outcome, error_type) DO UPDATE SET turns = turns + 1,
    queue_wait_ms = IIF(NEW.queue_wait_ms_in IS NULL, queue_wait_ms, json_set(queue_wait_ms, '$.sum', IFNULL(queue_wait_ms ->> '$.sum', 0) + NEW.queue_wait_ms,
      '$."' || NEW.queue_wait_ms_in || '"', IFNULL(queue_wait_ms ->> ('$."' || NEW.queue_wait_ms_in || '"'), 0) + 1)),
    time_to_first_token_ms = IIF(NEW.time_to_first_token_ms_in IS NULL, time_to_first_token_ms, json_set(time_to_first_token_ms, '$.sum', IFNULL(time_to_first_token_ms ->> '$.sum', 0) + NEW.time_to_first_token_ms,
      '$."' || NEW.time_to_first_token_ms_in || '"', IFNULL(time_to_first_token_ms ->> ('$."' || NEW.time_to_first_token_ms_in || '"'), 0) + 1)),
    turn_ms = IIF(NEW.turn_ms_in IS NULL, turn_ms, json_set(turn_ms, '$.sum', IFNULL(turn_ms ->> '$.sum', 0) + NEW.turn_ms,
      '$."' || NEW.turn_ms_in || '"', IFNULL(turn_ms ->> ('$."' || NEW.turn_ms_in || '"'), 0) + 1)),
    cost_usd = IIF(NEW.cost_usd_in IS NULL, cost_usd, json_set(cost_usd, '$.sum', IFNULL(cost_usd ->> '$.sum', 0) + NEW.cost_usd,
      '$."' || NEW.cost_usd_in || '"', IFNULL(cost_usd ->> ('$."' || NEW.cost_usd_in || '"'), 0) + 1)),
    tokens_input = IIF(NEW.tokens_input_in IS NULL, tokens_input, json_set(tokens_input, '$.sum', IFNULL(tokens_input ->> '$.sum', 0) + NEW.tokens_input,
      '$."' || NEW.tokens_input_in || '"', IFNULL(tokens_input ->> ('$."' || NEW.tokens_input_in || '"'), 0) + 1)),
    tokens_output = IIF(NEW.tokens_output_in IS NULL, tokens_output, json_set(tokens_output, '$.sum', IFNULL(tokens_output ->> '$.sum', 0) + NEW.tokens_output,
      '$."' || NEW.tokens_output_in || '"', IFNULL(tokens_output ->> ('$."' || NEW.tokens_output_in || '"'), 0) + 1)); END;

-- Each turn counts once, whichever version of the Worker inserts it and however often it is projected.
CREATE TRIGGER turns_roll_up AFTER INSERT ON turns
BEGIN
  INSERT INTO turn_facts SELECT * FROM turn_facts WHERE attempt_id = NEW.attempt_id; END;

-- Turns from before are added in steps by the Worker's upkeep (database/rollup-fill.ts), since one statement for all would exceed the
-- limits of D1. `after` is the last attempt that was added; without a row all were. Whatever the trigger adds meanwhile is skipped then.
CREATE TABLE rollup_fill (one INTEGER PRIMARY KEY CHECK (one = 1), after TEXT NOT NULL);
CREATE TABLE rolled_up_meanwhile (attempt_id TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO rollup_fill SELECT 1, '' WHERE EXISTS (SELECT 1 FROM turns);
CREATE TRIGGER turns_rolled_up_meanwhile AFTER INSERT ON turns WHEN EXISTS (SELECT 1 FROM rollup_fill WHERE after < NEW.attempt_id)
BEGIN
  INSERT INTO rolled_up_meanwhile VALUES (NEW.attempt_id); END;
