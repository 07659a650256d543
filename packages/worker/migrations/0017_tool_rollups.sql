-- Statistics of turns by the tools that they used.

-- The names of the tools that a turn used, at most 40. NULL: unknown, and in turns of earlier versions.
ALTER TABLE turns ADD COLUMN tools TEXT; -- JSON array

-- As turn_rollups (0011), with a row for each tool beside: a turn is in that of each tool that it used, so rows of several tools must
-- not be added up. A turn without a known tool is in none.
CREATE TABLE tool_rollups (
  owner_id TEXT NOT NULL,
  hour TEXT NOT NULL,
  tool TEXT NOT NULL,
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
  PRIMARY KEY (owner_id, hour, tool, user_id, repository, branch, channel, model, outcome, error_type)
) WITHOUT ROWID;

-- What these rollups take of a turn: a row for each of its tools.
CREATE VIEW tool_facts AS SELECT turn_facts.*, tool.value AS tool
  FROM turn_facts JOIN turns ON turns.attempt_id = turn_facts.attempt_id JOIN json_each(turns.tools) AS tool;

CREATE TRIGGER tool_facts_roll_up INSTEAD OF INSERT ON tool_facts
BEGIN
  INSERT INTO tool_rollups VALUES (NEW.owner_id, NEW.hour, NEW.tool, NEW.user_id, NEW.repository, NEW.branch, NEW.channel, NEW.model, NEW.outcome, NEW.error_type, 1,
    IIF(NEW.queue_wait_ms_in IS NULL, '{}', json_object('sum', NEW.queue_wait_ms, NEW.queue_wait_ms_in, 1)),
    IIF(NEW.time_to_first_token_ms_in IS NULL, '{}', json_object('sum', NEW.time_to_first_token_ms, NEW.time_to_first_token_ms_in, 1)),
    IIF(NEW.turn_ms_in IS NULL, '{}', json_object('sum', NEW.turn_ms, NEW.turn_ms_in, 1)),
    IIF(NEW.cost_usd_in IS NULL, '{}', json_object('sum', NEW.cost_usd, NEW.cost_usd_in, 1)),
    IIF(NEW.tokens_input_in IS NULL, '{}', json_object('sum', NEW.tokens_input, NEW.tokens_input_in, 1)),
    IIF(NEW.tokens_output_in IS NULL, '{}', json_object('sum', NEW.tokens_output, NEW.tokens_output_in, 1)))
  ON CONFLICT (owner_id, hour, tool, user_id, repository, branch, channel, model, outcome, error_type) DO UPDATE SET turns = turns + 1,
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

-- Each turn counts once in each of its tools, whichever version of the Worker inserts it and however often it is projected.
CREATE TRIGGER turns_roll_up_tools AFTER INSERT ON turns WHEN NEW.tools IS NOT NULL
BEGIN
  INSERT INTO tool_facts SELECT * FROM tool_facts WHERE attempt_id = NEW.attempt_id; END;
