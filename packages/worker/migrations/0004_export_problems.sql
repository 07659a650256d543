-- Counts and finds sessions whose spans do not reach the backend without reading every view.
ALTER TABLE sessions ADD COLUMN export_problem TEXT GENERATED ALWAYS AS (json_extract(view, '$.exportProblem')) VIRTUAL;
CREATE INDEX sessions_by_export_problem ON sessions (owner_id, created_at, id) WHERE export_problem IS NOT NULL;
