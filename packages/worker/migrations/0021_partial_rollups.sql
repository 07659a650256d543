-- Statistics say that a sum lacks something: a turn of which only some calls have a known cost, or known tokens, has a value, and so looked
-- like one that is known completely.
ALTER TABLE turn_rollups ADD COLUMN partial_cost INTEGER NOT NULL DEFAULT 0; -- turns whose cost is a lower bound
ALTER TABLE turn_rollups ADD COLUMN partial_input INTEGER NOT NULL DEFAULT 0; -- whose tokens are
ALTER TABLE turn_rollups ADD COLUMN partial_output INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tool_rollups ADD COLUMN partial_cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tool_rollups ADD COLUMN partial_input INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tool_rollups ADD COLUMN partial_output INTEGER NOT NULL DEFAULT 0;

-- As in 0019, with the counts of lower bounds. A view's trigger goes with it.
DROP VIEW turn_facts;
CREATE VIEW turn_facts AS SELECT attempt_id, owner_id, SUBSTR(ended_at, 1, 13) AS hour,
  IFNULL(user_id, '') AS user_id, IFNULL(repository, '') AS repository, IFNULL(branch, '') AS branch, channel, IFNULL(model, '') AS model, outcome, COALESCE(error_cause, error_type, '') AS error_type,
  queue_wait_ms, CASE WHEN queue_wait_ms > 0 THEN CAST(CAST(CEIL(20 * LN(queue_wait_ms)) AS INTEGER) AS TEXT) WHEN queue_wait_ms = 0 THEN 'zero' END AS queue_wait_ms_in,
  time_to_first_token_ms, CASE WHEN time_to_first_token_ms > 0 THEN CAST(CAST(CEIL(20 * LN(time_to_first_token_ms)) AS INTEGER) AS TEXT) WHEN time_to_first_token_ms = 0 THEN 'zero' END AS time_to_first_token_ms_in,
  turn_ms, CASE WHEN turn_ms > 0 THEN CAST(CAST(CEIL(20 * LN(turn_ms)) AS INTEGER) AS TEXT) WHEN turn_ms = 0 THEN 'zero' END AS turn_ms_in,
  cost_usd, CASE WHEN cost_usd > 0 THEN CAST(CAST(CEIL(20 * LN(cost_usd)) AS INTEGER) AS TEXT) WHEN cost_usd = 0 THEN 'zero' END AS cost_usd_in,
  tokens_input, CASE WHEN tokens_input > 0 THEN CAST(CAST(CEIL(20 * LN(tokens_input)) AS INTEGER) AS TEXT) WHEN tokens_input = 0 THEN 'zero' END AS tokens_input_in,
  tokens_output, CASE WHEN tokens_output > 0 THEN CAST(CAST(CEIL(20 * LN(tokens_output)) AS INTEGER) AS TEXT) WHEN tokens_output = 0 THEN 'zero' END AS tokens_output_in,
  cost_usd IS NOT NULL AND IFNULL(calls_without_cost, 0) > 0 AS partial_cost,
  tokens_input IS NOT NULL AND IFNULL(calls_without_usage, 0) > 0 AS partial_input,
  tokens_output IS NOT NULL AND IFNULL(calls_without_usage, 0) > 0 AS partial_output
  FROM turns;

CREATE TRIGGER turn_facts_roll_up INSTEAD OF INSERT ON turn_facts
BEGIN
  INSERT INTO turn_rollups VALUES (NEW.owner_id, NEW.hour, NEW.user_id, NEW.repository, NEW.branch, NEW.channel, NEW.model, NEW.outcome, NEW.error_type, 1,
    IIF(NEW.queue_wait_ms_in IS NULL, '{}', json_object('sum', NEW.queue_wait_ms, NEW.queue_wait_ms_in, 1)),
    IIF(NEW.time_to_first_token_ms_in IS NULL, '{}', json_object('sum', NEW.time_to_first_token_ms, NEW.time_to_first_token_ms_in, 1)),
    IIF(NEW.turn_ms_in IS NULL, '{}', json_object('sum', NEW.turn_ms, NEW.turn_ms_in, 1)),
    IIF(NEW.cost_usd_in IS NULL, '{}', json_object('sum', NEW.cost_usd, NEW.cost_usd_in, 1)),
    IIF(NEW.tokens_input_in IS NULL, '{}', json_object('sum', NEW.tokens_input, NEW.tokens_input_in, 1)),
    IIF(NEW.tokens_output_in IS NULL, '{}', json_object('sum', NEW.tokens_output, NEW.tokens_output_in, 1)), NEW.partial_cost, NEW.partial_input, NEW.partial_output)
  ON CONFLICT (owner_id, hour, user_id, repository, branch, channel, model, outcome, error_type) DO UPDATE SET turns = turns + 1, partial_cost = partial_cost + NEW.partial_cost, partial_input = partial_input + NEW.partial_input, partial_output = partial_output + NEW.partial_output,
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

-- As in 0017.
DROP TRIGGER tool_facts_roll_up;
CREATE TRIGGER tool_facts_roll_up INSTEAD OF INSERT ON tool_facts
BEGIN
  INSERT INTO tool_rollups VALUES (NEW.owner_id, NEW.hour, NEW.tool, NEW.user_id, NEW.repository, NEW.branch, NEW.channel, NEW.model, NEW.outcome, NEW.error_type, 1,
    IIF(NEW.queue_wait_ms_in IS NULL, '{}', json_object('sum', NEW.queue_wait_ms, NEW.queue_wait_ms_in, 1)),
    IIF(NEW.time_to_first_token_ms_in IS NULL, '{}', json_object('sum', NEW.time_to_first_token_ms, NEW.time_to_first_token_ms_in, 1)),
    IIF(NEW.turn_ms_in IS NULL, '{}', json_object('sum', NEW.turn_ms, NEW.turn_ms_in, 1)),
    IIF(NEW.cost_usd_in IS NULL, '{}', json_object('sum', NEW.cost_usd, NEW.cost_usd_in, 1)),
    IIF(NEW.tokens_input_in IS NULL, '{}', json_object('sum', NEW.tokens_input, NEW.tokens_input_in, 1)),
    IIF(NEW.tokens_output_in IS NULL, '{}', json_object('sum', NEW.tokens_output, NEW.tokens_output_in, 1)), NEW.partial_cost, NEW.partial_input, NEW.partial_output)
  ON CONFLICT (owner_id, hour, tool, user_id, repository, branch, channel, model, outcome, error_type) DO UPDATE SET turns = turns + 1, partial_cost = partial_cost + NEW.partial_cost, partial_input = partial_input + NEW.partial_input, partial_output = partial_output + NEW.partial_output,
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

-- Turns that the rollups have already: one pass over the turns. Those that the upkeep still adds (0011) are counted then. Turns that were
-- rolled up under another error (0019) are not found.
UPDATE turn_rollups SET partial_cost = facts.cost, partial_input = facts.input, partial_output = facts.output
  FROM (SELECT owner_id, hour, user_id, repository, branch, channel, model, outcome, error_type, SUM(partial_cost) AS cost, SUM(partial_input) AS input, SUM(partial_output) AS output FROM turn_facts
    WHERE (partial_cost OR partial_input OR partial_output)
      AND (NOT EXISTS (SELECT 1 FROM rollup_fill WHERE after < attempt_id) OR attempt_id IN (SELECT attempt_id FROM rolled_up_meanwhile))
    GROUP BY owner_id, hour, user_id, repository, branch, channel, model, outcome, error_type) AS facts
  WHERE turn_rollups.owner_id = facts.owner_id AND turn_rollups.hour = facts.hour AND turn_rollups.user_id = facts.user_id AND turn_rollups.repository = facts.repository AND turn_rollups.branch = facts.branch AND turn_rollups.channel = facts.channel AND turn_rollups.model = facts.model AND turn_rollups.outcome = facts.outcome AND turn_rollups.error_type = facts.error_type;
UPDATE tool_rollups SET partial_cost = facts.cost, partial_input = facts.input, partial_output = facts.output
  FROM (SELECT owner_id, hour, tool, user_id, repository, branch, channel, model, outcome, error_type, SUM(partial_cost) AS cost, SUM(partial_input) AS input, SUM(partial_output) AS output FROM tool_facts
    WHERE (partial_cost OR partial_input OR partial_output)
      AND (NOT EXISTS (SELECT 1 FROM rollup_fill WHERE after < attempt_id) OR attempt_id IN (SELECT attempt_id FROM rolled_up_meanwhile))
    GROUP BY owner_id, hour, tool, user_id, repository, branch, channel, model, outcome, error_type) AS facts
  WHERE tool_rollups.owner_id = facts.owner_id AND tool_rollups.hour = facts.hour AND tool_rollups.tool = facts.tool AND tool_rollups.user_id = facts.user_id AND tool_rollups.repository = facts.repository AND tool_rollups.branch = facts.branch AND tool_rollups.channel = facts.channel AND tool_rollups.model = facts.model AND tool_rollups.outcome = facts.outcome AND tool_rollups.error_type = facts.error_type;
