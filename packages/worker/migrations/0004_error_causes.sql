-- The cause of a turn's error: why the last model failed, or the error of a workflow's first failed step.
ALTER TABLE turns ADD COLUMN error_cause TEXT;
