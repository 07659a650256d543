-- Why a turn ended with another outcome than ok, error or lost. So far this was in error_type.
ALTER TABLE turns ADD COLUMN outcome_reason TEXT;
UPDATE turns SET outcome_reason = error_type, error_type = NULL WHERE outcome NOT IN ('ok', 'error', 'lost');
