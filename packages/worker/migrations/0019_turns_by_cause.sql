-- Lists and statistics find a failed turn by its first cause: why its last model failed, for example, and not that all models did. What
-- was rolled up before stays under the turn's own error type.

DROP INDEX turns_by_error;
CREATE INDEX turns_by_cause ON turns (owner_id, COALESCE(error_cause, error_type), ended_at, attempt_id) WHERE COALESCE(error_cause, error_type) IS NOT NULL;

-- As in 0011, but for `error_type`. A view's trigger goes with it.
DROP VIEW turn_facts;
CREATE VIEW turn_facts AS SELECT attempt_id, owner_id, SUBSTR(ended_at, 1, 13) AS hour,
  IFNULL(user_id, '') AS user_id, IFNULL(repository, '') AS repository, IFNULL(branch, '') AS branch, channel, IFNULL(model, '') AS model, outcome, COALESCE(error_cause, error_type, '') AS error_type,
  queue_wait_ms, CASE WHEN queue_wait_ms > 0 THEN CAST(CAST(CEIL(20 * LN(queue_wait_ms)) AS INTEGER) AS TEXT) WHEN queue_wait_ms = 0 THEN 'zero' END AS queue_wait_ms_in,
  time_to_first_token_ms, CASE WHEN time_to_first_token_ms > 0 THEN CAST(CAST(CEIL(20 * LN(time_to_first_token_ms)) AS INTEGER) AS TEXT) WHEN time_to_first_token_ms = 0 THEN 'zero' END AS time_to_first_token_ms_in,
  turn_ms, CASE WHEN turn_ms > 0 THEN CAST(CAST(CEIL(20 * LN(turn_ms)) AS INTEGER) AS TEXT) WHEN turn_ms = 0 THEN 'zero' END AS turn_ms_in,
  cost_usd, CASE WHEN cost_usd > 0 THEN CAST(CAST(CEIL(20 * LN(cost_usd)) AS INTEGER) AS TEXT) WHEN cost_usd = 0 THEN 'zero' END AS cost_usd_in,
  tokens_input, CASE WHEN tokens_input > 0 THEN CAST(CAST(CEIL(20 * LN(tokens_input)) AS INTEGER) AS TEXT) WHEN tokens_input = 0 THEN 'zero' END AS tokens_input_in,
  tokens_output, CASE WHEN tokens_output > 0 THEN CAST(CAST(CEIL(20 * LN(tokens_output)) AS INTEGER) AS TEXT) WHEN tokens_output = 0 THEN 'zero' END AS tokens_output_in
  FROM turns;

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
