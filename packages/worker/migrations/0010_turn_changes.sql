-- What each turn changed in its workspace.
ALTER TABLE turns ADD COLUMN commits INTEGER;
ALTER TABLE turns ADD COLUMN files_changed INTEGER;
ALTER TABLE turns ADD COLUMN lines_added INTEGER;
ALTER TABLE turns ADD COLUMN lines_removed INTEGER;
ALTER TABLE turns ADD COLUMN head_branch TEXT;
ALTER TABLE turns ADD COLUMN head_revision TEXT;
ALTER TABLE turns ADD COLUMN changes_unknown TEXT;
