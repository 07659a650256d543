-- Whether requests with this token may name the user on whose behalf they are made.
ALTER TABLE tokens ADD COLUMN speaks_for_others INTEGER NOT NULL DEFAULT 0;

-- For whom, on what and below which session a turn worked, and who had a hand in it. NULL in turns of earlier versions.
ALTER TABLE turns ADD COLUMN user_id TEXT;
ALTER TABLE turns ADD COLUMN repository TEXT; -- its canonical URL, without credentials
ALTER TABLE turns ADD COLUMN branch TEXT;
ALTER TABLE turns ADD COLUMN parent_session_id TEXT;
ALTER TABLE turns ADD COLUMN message_trace_id TEXT;
ALTER TABLE turns ADD COLUMN aborted_by TEXT;
ALTER TABLE turns ADD COLUMN answered_by TEXT; -- JSON array
