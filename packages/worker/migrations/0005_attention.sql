-- What a person should see to: the error type of a session that has no sandbox, or that cannot be put to sleep.
ALTER TABLE sessions ADD COLUMN attention TEXT GENERATED ALWAYS AS (
  coalesce(json_extract(view, '$.failure.type'), json_extract(view, '$.sleepProblem.errorType'))) VIRTUAL;
CREATE INDEX sessions_by_attention ON sessions (owner_id, created_at, id) WHERE attention IS NOT NULL;
