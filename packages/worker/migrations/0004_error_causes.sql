-- What lies behind a turn's error: why the last model failed, or the first step of a workflow.
ALTER TABLE turns ADD COLUMN error_cause TEXT;
