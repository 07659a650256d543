-- What the Worker's upkeep works on.

-- Earlier versions of 0011 added all turns to the rollups at once. Databases that ran them have nothing left to add.
CREATE TABLE IF NOT EXISTS rollup_fill (one INTEGER PRIMARY KEY CHECK (one = 1), after TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rolled_up_meanwhile (attempt_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS turns_rolled_up_meanwhile AFTER INSERT ON turns WHEN EXISTS (SELECT 1 FROM rollup_fill WHERE after < NEW.attempt_id)
BEGIN
  INSERT INTO rolled_up_meanwhile VALUES (NEW.attempt_id); END;

-- Terminated sessions whose deletion has not begun, those that changed longest ago first, and where the upkeep goes on with them.
CREATE INDEX sessions_by_end ON sessions (updated_at, id) WHERE status = 'terminated' AND json_extract(view, '$.deletion') IS NULL;
CREATE TABLE retention_sweep (one INTEGER PRIMARY KEY CHECK (one = 1), updated_at TEXT NOT NULL, id TEXT NOT NULL);
INSERT INTO retention_sweep VALUES (1, '', '');
