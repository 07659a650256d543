-- What a request reads does not depend on how many sessions and turns there are.

-- Children, and those whose spans do not arrive, in the order of their list.
DROP INDEX sessions_by_parent;
CREATE INDEX sessions_by_parent ON sessions (owner_id, parent_session_id, created_at, id) WHERE parent_session_id IS NOT NULL;
CREATE INDEX sessions_by_parent_and_export_problem ON sessions (owner_id, parent_session_id, created_at, id)
  WHERE parent_session_id IS NOT NULL AND export_problem IS NOT NULL;

-- The oldest export problems of all owners.
ALTER TABLE sessions ADD COLUMN export_problem_since TEXT GENERATED ALWAYS AS (json_extract(view, '$.exportProblem.since')) VIRTUAL;
CREATE INDEX sessions_by_export_problem_since ON sessions (export_problem_since) WHERE export_problem IS NOT NULL;

-- What the turns of a session have cost together: the known values, and how many turns lack one. The trigger adds each turn as it is
-- inserted, whichever version of the Worker inserts it.
CREATE TABLE session_costs (
  session_id TEXT PRIMARY KEY,
  turns INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  tokens_input INTEGER NOT NULL,
  tokens_output INTEGER NOT NULL,
  turns_without_cost INTEGER NOT NULL,
  turns_without_usage INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO session_costs
SELECT session_id, COUNT(*), TOTAL(cost_usd), TOTAL(tokens_input), TOTAL(tokens_output),
  COUNT(CASE WHEN cost_usd IS NULL OR calls_without_cost > 0 THEN 1 END),
  COUNT(CASE WHEN tokens_input IS NULL OR tokens_output IS NULL OR calls_without_usage > 0 THEN 1 END)
FROM turns GROUP BY session_id;
CREATE TRIGGER turns_add_up AFTER INSERT ON turns
BEGIN
  INSERT INTO session_costs VALUES (NEW.session_id, 1, IFNULL(NEW.cost_usd, 0), IFNULL(NEW.tokens_input, 0), IFNULL(NEW.tokens_output, 0),
    NEW.cost_usd IS NULL OR IFNULL(NEW.calls_without_cost, 0) > 0,
    NEW.tokens_input IS NULL OR NEW.tokens_output IS NULL OR IFNULL(NEW.calls_without_usage, 0) > 0)
  ON CONFLICT (session_id) DO UPDATE SET turns = turns + 1, cost_usd = cost_usd + excluded.cost_usd,
    tokens_input = tokens_input + excluded.tokens_input, tokens_output = tokens_output + excluded.tokens_output,
    turns_without_cost = turns_without_cost + excluded.turns_without_cost,
    turns_without_usage = turns_without_usage + excluded.turns_without_usage; END;
