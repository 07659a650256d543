-- An owner's sessions by the beginning of their ids. Neither column ever changes, so only the insert of a session writes to it.

CREATE INDEX sessions_by_owner_and_id ON sessions (owner_id, id);
