import { upgradeSchema } from "../src/durable-objects/core/schema.ts";
import { SESSION_MIGRATIONS } from "../src/durable-objects/session-schema.ts";

/**
 * Creates the tables of commit ad59303, the oldest version whose state directories can be opened. Then upgrades them, as the
 * object's next start does.
 * @param statements SQL to run before the upgrade, such as inserts
 */
export function upgradeFromAd59303(storage: DurableObjectStorage, statements = ""): void {
  dropTables(storage.sql);
  storage.sql.exec(TABLES_OF_AD59303 + statements);
  upgradeSchema(storage, SESSION_MIGRATIONS);
}

export function dropTables(sql: SqlStorage): void {
  const names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'";
  for (const { name } of sql.exec(names).toArray()) sql.exec(`DROP TABLE ${name}`);
}

const TABLES_OF_AD59303 = `
  CREATE TABLE agent_requests ( id TEXT PRIMARY KEY, kind TEXT NOT NULL, attempt_id TEXT NOT NULL, view TEXT NOT
    NULL) WITHOUT ROWID;
  CREATE TABLE answers (attempt_id TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE channels ( channel TEXT PRIMARY KEY, opencode_session TEXT NOT NULL, generation INTEGER NOT NULL)
    WITHOUT ROWID;
  CREATE TABLE children ( id TEXT PRIMARY KEY, state TEXT NOT NULL, channel TEXT NOT NULL, reason TEXT, tries
    INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE child_requests ( seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, call TEXT NOT NULL, answer TEXT,
    tries INTEGER NOT NULL);
  CREATE TABLE parent_messages (id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE parent_reports ( seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, report TEXT, context TEXT NOT
    NULL);
  CREATE TABLE parent_refused (one INTEGER PRIMARY KEY CHECK (one = 1));
  CREATE TABLE messages ( seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, mode TEXT NOT
    NULL, source TEXT NOT NULL, initial INTEGER NOT NULL, status TEXT NOT NULL, sizeBytes INTEGER NOT NULL,
    attachments INTEGER NOT NULL, notBeforeMs INTEGER NOT NULL, acceptedMs INTEGER NOT NULL, waitingSinceMs INTEGER
    NOT NULL, dispatchedMs INTEGER, endedMs INTEGER, reason TEXT, reasons TEXT NOT NULL, outcome TEXT, errorType
    TEXT, promptContext TEXT NOT NULL, waitContext TEXT NOT NULL, waitedOn TEXT, attemptId TEXT, attempts INTEGER
    NOT NULL, lost INTEGER NOT NULL, unaccepted INTEGER NOT NULL, lastDispatch TEXT NOT NULL, body TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'message');
  CREATE INDEX messages_open ON messages (status, seq) WHERE status <> 'done';
  CREATE TABLE attempts ( id TEXT PRIMARY KEY, number INTEGER NOT NULL, generation INTEGER NOT NULL, channel TEXT
    NOT NULL, state TEXT NOT NULL, messageIds TEXT NOT NULL, context TEXT NOT NULL, dispatchedMs INTEGER NOT NULL,
    acceptedMs INTEGER, endedMs INTEGER, waitMs INTEGER NOT NULL, stop TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX attempts_open ON attempts (state) WHERE state <> 'ended';
  CREATE TABLE projected_session ( one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, projected
    INTEGER NOT NULL);
  CREATE TABLE projected_turns (seq INTEGER PRIMARY KEY, record TEXT NOT NULL);
  CREATE TABLE broker_calls (id TEXT PRIMARY KEY, span TEXT NOT NULL, context TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE leftovers ( id TEXT PRIMARY KEY, kind TEXT NOT NULL, driver TEXT NOT NULL, parent TEXT NOT NULL,
    tries INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE session (one INTEGER PRIMARY KEY CHECK (one = 1), record TEXT NOT NULL);
  CREATE TABLE timers (kind TEXT, key TEXT, due_ms INTEGER NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (kind, key))
    WITHOUT ROWID;
  CREATE TABLE trace_export ( id INTEGER PRIMARY KEY CHECK (id = 1), segment_id INTEGER NOT NULL, attempts INTEGER
    NOT NULL, not_before_ms INTEGER NOT NULL);
  CREATE TABLE trace_open ( span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, owner TEXT NOT NULL, span TEXT NOT
    NULL) WITHOUT ROWID;
  CREATE TABLE trace_sealed (span_id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE trace_tail ( id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, sampled INTEGER NOT NULL, spans INTEGER
    NOT NULL, bytes INTEGER NOT NULL, resource TEXT NOT NULL, scope TEXT NOT NULL, summaries TEXT NOT NULL, body
    TEXT NOT NULL);
  CREATE TABLE trace_segments ( id INTEGER PRIMARY KEY, closed_ms INTEGER NOT NULL, sampled INTEGER NOT NULL, spans
    INTEGER NOT NULL, end_bytes INTEGER NOT NULL, body BLOB NOT NULL);
  CREATE TABLE trace_index ( trace_id TEXT NOT NULL, segment_id INTEGER NOT NULL, start_us INTEGER NOT NULL, summary
    TEXT NOT NULL, PRIMARY KEY (trace_id, segment_id) ) WITHOUT ROWID;
  CREATE TABLE trace_instances ( instance_id TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, last_seen_ms INTEGER NOT
    NULL) WITHOUT ROWID;
  CREATE TABLE trace_drops (reason TEXT PRIMARY KEY, spans INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE turns (seq INTEGER PRIMARY KEY, attempt_id TEXT NOT NULL UNIQUE, record TEXT NOT NULL);
  CREATE TABLE sandbox_starts ( generation INTEGER PRIMARY KEY, begun_ms INTEGER NOT NULL, made_ms INTEGER, ended_ms
    INTEGER);
  CREATE TABLE workflow_steps ( execution_id TEXT NOT NULL, step INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY
    (execution_id, step)) WITHOUT ROWID;
`;
