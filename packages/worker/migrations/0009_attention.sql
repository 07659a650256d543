-- Finds the sessions that need attention, those that do for longest first, without reading every view.
ALTER TABLE sessions ADD COLUMN attention_since TEXT GENERATED ALWAYS AS (json_extract(view, '$.attention.since')) VIRTUAL;
CREATE INDEX sessions_by_attention ON sessions (owner_id, attention_since, id) WHERE attention_since IS NOT NULL;

-- How long the steps of an owner's work took: the last 200 durations of each tool and model. One row for each, which a turn's batch
-- updates, so that a turn costs one more written row for each tool and model that it used.
CREATE TABLE step_durations (
  owner_id TEXT NOT NULL,
  kind TEXT NOT NULL, -- tool or model
  name TEXT NOT NULL,
  samples TEXT NOT NULL, -- JSON array of ms, newest first
  PRIMARY KEY (owner_id, kind, name)
) WITHOUT ROWID;
