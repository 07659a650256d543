/** The tables of a session's object, for every room. To change them, add a migration at the end of the list. */
import { addColumn, type Migration } from "./core/schema.ts";
import { mergeSummaries, type TraceSummary } from "./traces/trace-summary.ts";

export const SESSION_MIGRATIONS: readonly Migration[] = [
  tablesBeforeVersions,
  durableCalls,
  jobs,
  capacityReports,
  shownReason,
  flatQueue,
  flatTraces,
  tailGroups,
  skeletons,
  users,
  attention,
  turnChanges,
  notices,
  statuses,
  traceLinks,
  certificates,
  flatSearches,
];

/**
 * Version 1: the tables from before versions were stored. Databases of that time may lack some of the tables, and columns that were
 * added later.
 */
function tablesBeforeVersions(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS session (one INTEGER PRIMARY KEY CHECK (one = 1), record TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS timers (
      kind TEXT, key TEXT, due_ms INTEGER NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
  `);
  queueTables(sql);
  conversationTables(sql);
  sandboxTables(sql);
  familyTables(sql);
  traceTables(sql);
  sql.exec(`
    CREATE TABLE IF NOT EXISTS projected_session (
      one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, projected INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS projected_turns (seq INTEGER PRIMARY KEY, record TEXT NOT NULL);
  `);
}

function queueTables(sql: SqlStorage): void {
  // The index covers only jobs that are not done: a session collects thousands of them, and few are open.
  sql.exec(`
    CREATE TABLE IF NOT EXISTS messages (
      seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, mode TEXT NOT NULL, source TEXT NOT NULL,
      initial INTEGER NOT NULL, status TEXT NOT NULL, sizeBytes INTEGER NOT NULL, attachments INTEGER NOT NULL,
      notBeforeMs INTEGER NOT NULL, acceptedMs INTEGER NOT NULL, waitingSinceMs INTEGER NOT NULL, dispatchedMs INTEGER,
      endedMs INTEGER, reason TEXT, reasons TEXT NOT NULL, outcome TEXT, errorType TEXT, promptContext TEXT NOT NULL,
      waitContext TEXT NOT NULL, waitedOn TEXT, attemptId TEXT, attempts INTEGER NOT NULL, lost INTEGER NOT NULL,
      unaccepted INTEGER NOT NULL, lastDispatch TEXT NOT NULL, body TEXT NOT NULL,
      kind TEXT NOT NULL DEFAULT 'message', failure TEXT NOT NULL DEFAULT 'null', asksFor TEXT NOT NULL DEFAULT '');
    CREATE INDEX IF NOT EXISTS messages_open ON messages (status, seq) WHERE status <> 'done';
    CREATE TABLE IF NOT EXISTS attempts (
      id TEXT PRIMARY KEY, number INTEGER NOT NULL, generation INTEGER NOT NULL, channel TEXT NOT NULL,
      state TEXT NOT NULL, messageIds TEXT NOT NULL, context TEXT NOT NULL, dispatchedMs INTEGER NOT NULL,
      acceptedMs INTEGER, endedMs INTEGER, waitMs INTEGER NOT NULL, stop TEXT NOT NULL,
      progress TEXT NOT NULL DEFAULT 'null') WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS attempts_open ON attempts (state) WHERE state <> 'ended';
    CREATE TABLE IF NOT EXISTS workflow_steps (
      execution_id TEXT NOT NULL, step INTEGER NOT NULL, state TEXT NOT NULL,
      PRIMARY KEY (execution_id, step)) WITHOUT ROWID;
  `);
  // Older databases predate workflows, or the causes of failures.
  addColumn(sql, "messages", "kind", "TEXT NOT NULL DEFAULT 'message'");
  addColumn(sql, "messages", "failure", "TEXT NOT NULL DEFAULT 'null'");
  addColumn(sql, "messages", "asksFor", "TEXT NOT NULL DEFAULT ''");
  addColumn(sql, "attempts", "progress", "TEXT NOT NULL DEFAULT 'null'");
}

function conversationTables(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS answers (attempt_id TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS channels (
      channel TEXT PRIMARY KEY, opencode_session TEXT NOT NULL, generation INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS agent_requests (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, attempt_id TEXT NOT NULL, view TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS turns (
      seq INTEGER PRIMARY KEY, attempt_id TEXT NOT NULL UNIQUE, record TEXT NOT NULL, total_usd REAL, total_lacking INTEGER);
    CREATE TABLE IF NOT EXISTS sandbox_starts (
      generation INTEGER PRIMARY KEY, begun_ms INTEGER NOT NULL, made_ms INTEGER, ended_ms INTEGER);
  `);
  addColumn(sql, "turns", "total_usd", "REAL");
  addColumn(sql, "turns", "total_lacking", "INTEGER");
}

function sandboxTables(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS broker_calls (
      id TEXT PRIMARY KEY, span TEXT NOT NULL, context TEXT NOT NULL, parent TEXT) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS leftovers (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, driver TEXT NOT NULL, parent TEXT NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS capacity_lease (one INTEGER PRIMARY KEY CHECK (one = 1), lease TEXT NOT NULL);
  `);
  addColumn(sql, "broker_calls", "parent", "TEXT");
}

function familyTables(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS children (
      id TEXT PRIMARY KEY, state TEXT NOT NULL, channel TEXT NOT NULL, reason TEXT, tries INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS child_requests (
      seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, call TEXT NOT NULL, answer TEXT, tries INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS parent_messages (id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS parent_reports (
      seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, report TEXT, context TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS parent_refused (one INTEGER PRIMARY KEY CHECK (one = 1));
  `);
}

function traceTables(sql: SqlStorage): void {
  // The columns that every fold or list reads stand before the large ones, so that SQLite does not read the pages of those.
  sql.exec(`
    CREATE TABLE IF NOT EXISTS trace_tail (
      id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, sampled INTEGER NOT NULL, spans INTEGER NOT NULL,
      bytes INTEGER NOT NULL, resource TEXT NOT NULL, scope TEXT NOT NULL, summaries TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS trace_segments (
      id INTEGER PRIMARY KEY, closed_ms INTEGER NOT NULL, sampled INTEGER NOT NULL,
      spans INTEGER NOT NULL, end_bytes INTEGER NOT NULL, end_sampled INTEGER, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS trace_index (
      trace_id TEXT NOT NULL, segment_id INTEGER NOT NULL, start_us INTEGER NOT NULL, summary TEXT NOT NULL,
      PRIMARY KEY (trace_id, segment_id)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS trace_open (
      span_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, owner TEXT NOT NULL, span TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS trace_sealed (span_id TEXT PRIMARY KEY, late INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS trace_instances (
      instance_id TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS trace_drops (reason TEXT PRIMARY KEY, spans INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS trace_export (
      id INTEGER PRIMARY KEY CHECK (id = 1), segment_id INTEGER NOT NULL, attempts INTEGER NOT NULL,
      not_before_ms INTEGER NOT NULL);
  `);
  addColumn(sql, "trace_sealed", "late", "INTEGER NOT NULL DEFAULT 0");
  // Older rows have no value: counting would mean to write their bodies again.
  addColumn(sql, "trace_segments", "end_sampled", "INTEGER");
  for (const [name, type] of Object.entries(TRACE_EXPORT_COLUMNS)) addColumn(sql, "trace_export", name, type);
}

/** Columns of `trace_export` that its first version lacked. */
const TRACE_EXPORT_COLUMNS = {
  part_of: "INTEGER NOT NULL DEFAULT 0",
  part_spans: "INTEGER NOT NULL DEFAULT 0",
  settled_spans: "INTEGER NOT NULL DEFAULT 0",
  failing_since_ms: "INTEGER",
  trying_since_ms: "INTEGER",
  stopped_at: "INTEGER",
  reason: "TEXT NOT NULL DEFAULT ''",
  status: "INTEGER",
  config: "TEXT NOT NULL DEFAULT ''",
  shown: "INTEGER NOT NULL DEFAULT 0",
} as const;

/**
 * Version 2: one table for all durable calls. It replaces a table, or a few columns, for each kind, and takes over the calls that
 * wait in them.
 */
function durableCalls(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE durable_calls (
      kind TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL, tries INTEGER NOT NULL,
      calling INTEGER NOT NULL, PRIMARY KEY (kind, key, seq)) WITHOUT ROWID;

    INSERT INTO durable_calls
      SELECT 'orphan', id, 1, json_object('what', kind, 'driver', driver, 'from', json(parent)), tries, 0 FROM leftovers;
    UPDATE timers SET kind = 'orphan' WHERE kind = 'leftover';
    DROP TABLE leftovers;

    INSERT INTO durable_calls
      SELECT 'child-end', id, 1, json_object('reason', reason), tries, 0 FROM children
      WHERE state = 'ending' AND reason IS NOT NULL;
    ALTER TABLE children DROP COLUMN tries;

    INSERT INTO durable_calls SELECT 'child-request', id, 1, call, tries, 0 FROM child_requests WHERE answer IS NULL;
    ALTER TABLE child_requests DROP COLUMN call;
    ALTER TABLE child_requests DROP COLUMN tries;

    INSERT INTO durable_calls
      SELECT 'parent-report', '', seq, json_object('report', json(report), 'span', json(context)), 0, 0 FROM parent_reports
      WHERE report IS NOT NULL;
    CREATE TABLE parent_reported (id TEXT PRIMARY KEY) WITHOUT ROWID;
    INSERT INTO parent_reported SELECT id FROM parent_reports;
    DROP TABLE parent_reports;

    INSERT INTO durable_calls
      SELECT 'projection', '', 1, 'null', 0, 0 FROM projected_session
      WHERE version <> projected OR EXISTS (SELECT 1 FROM projected_turns);
    ALTER TABLE projected_session DROP COLUMN projected;
  `);
}

/** Version 3: renames the tables of messages to those of jobs, since a job is a message or a workflow. */
function jobs(sql: SqlStorage): void {
  sql.exec(`
    ALTER TABLE messages RENAME TO jobs;
    ALTER TABLE jobs RENAME COLUMN promptContext TO context;
    ALTER TABLE attempts RENAME COLUMN messageIds TO jobIds;
    DROP INDEX messages_open;
    CREATE INDEX jobs_open ON jobs (status, seq) WHERE status <> 'done';
  `);
}

/** Version 4: reports of what the session needs are durable calls, too. */
function capacityReports(sql: SqlStorage): void {
  sql.exec(`
    INSERT INTO durable_calls
      SELECT 'capacity-report', '', 1, 'null', 0, 0 FROM capacity_lease WHERE NOT json_extract(lease, '$.isConfirmed');
    UPDATE capacity_lease SET lease = json_remove(lease, '$.isConfirmed');
  `);
}

/** Version 5: the reason of an export problem that the session's view shows, which may change while the problem lasts. */
function shownReason(sql: SqlStorage): void {
  addColumn(sql, "trace_export", "shown_reason", "TEXT NOT NULL DEFAULT ''");
}

/**
 * Version 6: what a turn reads of jobs, attempts, children and turns does not depend on how many there are. SQLite uses a partial
 * index only for statements that repeat its condition.
 */
function flatQueue(sql: SqlStorage): void {
  sql.exec(`
    DROP INDEX jobs_open;
    CREATE INDEX jobs_queued ON jobs (seq) WHERE status = 'queued';
    CREATE INDEX jobs_by_kind ON jobs (kind, seq);
    CREATE INDEX jobs_done ON jobs (channel, seq) WHERE status = 'done';
    DROP INDEX attempts_open;
    CREATE INDEX attempts_open ON attempts (dispatchedMs, id) WHERE state <> 'ended';
    CREATE INDEX children_open ON children (id) WHERE state <> 'ended';
    -- Each turn has the totals up to itself. Turns of earlier versions lack them, and only the last one's are read.
    UPDATE turns SET (total_usd, total_lacking) = (
      SELECT TOTAL(json_extract(record, '$.cost_usd')),
        TOTAL(json_extract(record, '$.cost_usd') IS NULL OR json_extract(record, '$.calls_without_cost') > 0)
      FROM turns)
    WHERE seq = (SELECT MAX(seq) FROM turns) AND (total_usd IS NULL OR total_lacking IS NULL);
  `);
}

/**
 * Version 7: one row a trace by its start, and totals of a trace in the newest of its rows, so that a list of traces reads no more
 * rows than it shows.
 */
function flatTraces(sql: SqlStorage): void {
  sql.exec(`
    ALTER TABLE trace_index RENAME TO trace_index_before;
    CREATE TABLE trace_index (
      trace_id TEXT NOT NULL, segment_id INTEGER NOT NULL, spans INTEGER NOT NULL, errors INTEGER NOT NULL,
      is_whole INTEGER NOT NULL, total TEXT NOT NULL, PRIMARY KEY (trace_id, segment_id)) WITHOUT ROWID;
    CREATE TABLE trace_starts (
      start_us INTEGER NOT NULL, trace_id TEXT NOT NULL, PRIMARY KEY (start_us, trace_id)) WITHOUT ROWID;
  `);
  const rows = sql.exec<{ segment_id: number; of: number | null; summary: string }>(
    `SELECT segment_id, trace_segments.spans AS of, summary FROM trace_index_before
     LEFT JOIN trace_segments ON id = segment_id ORDER BY trace_id, segment_id`,
  );
  const totals = new Map<string, TraceSummary>();
  for (const { segment_id, of, summary: text } of rows.toArray()) {
    const summary = JSON.parse(text) as TraceSummary;
    const { traceId, spans, errors } = summary;
    const known = totals.get(traceId);
    const [total = summary] = mergeSummaries([known === undefined ? [] : [known], [summary]]);
    totals.set(traceId, total);
    const values = [traceId, segment_id, spans, errors, Number(spans === of), JSON.stringify(total)];
    sql.exec("INSERT INTO trace_index VALUES (?, ?, ?, ?, ?, ?)", ...values);
  }
  for (const { startUs, traceId } of totals.values()) {
    sql.exec("INSERT INTO trace_starts VALUES (?, ?)", startUs, traceId);
  }
  sql.exec("DROP TABLE trace_index_before");
}

/** Version 8: one row of the tail may hold spans of several resources and scopes, since one commit may end spans of several. */
function tailGroups(sql: SqlStorage): void {
  sql.exec("ALTER TABLE trace_tail ADD COLUMN groups TEXT");
}

/** Version 9: the skeleton of a trace in each segment. Segments of earlier versions have none, and are read instead. */
function skeletons(sql: SqlStorage): void {
  sql.exec("ALTER TABLE trace_index ADD COLUMN skeleton TEXT");
}

/** Version 10: for whom a job runs and who ended it early, whose trace is whose, and who answered the agent. */
function users(sql: SqlStorage): void {
  sql.exec(`
    ALTER TABLE jobs ADD COLUMN userId TEXT;
    ALTER TABLE jobs ADD COLUMN endedBy TEXT;
    CREATE TABLE trace_users (trace_id TEXT PRIMARY KEY, user_id TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE agent_answers (
      seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, attempt_id TEXT NOT NULL, user_id TEXT NOT NULL);
  `);
}

/** Version 11: which attention of the session D1 has, and how long the steps of a turn took that D1 lacks. */
function attention(sql: SqlStorage): void {
  sql.exec("ALTER TABLE projected_session ADD COLUMN attention TEXT NOT NULL DEFAULT ''");
  sql.exec("ALTER TABLE projected_turns ADD COLUMN steps TEXT");
}

/**
 * Version 12: what turns changed: counts for good; lists and patches until they exceed a limit together. `total` is that of `bytes` up
 * to the row.
 */
function turnChanges(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE turn_changes (attempt_id TEXT PRIMARY KEY, counts TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE turn_patches (
      seq INTEGER PRIMARY KEY, attempt_id TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL, total INTEGER NOT NULL,
      lists TEXT NOT NULL, patch BLOB);
  `);
}

/** Version 13: what endpoints of webhooks were told last, and which of the waiting turns are told. */
function notices(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE notices (one INTEGER PRIMARY KEY CHECK (one = 1), told TEXT NOT NULL);
    ALTER TABLE projected_turns ADD COLUMN is_end INTEGER NOT NULL DEFAULT 0;
  `);
}

/** Version 14: each status that the session takes waits in order with the turns, until D1 has had it. Such a row has no record. */
function statuses(sql: SqlStorage): void {
  sql.exec(`
    ALTER TABLE projected_session ADD COLUMN status TEXT;
    ALTER TABLE projected_turns ADD COLUMN status TEXT;
    ALTER TABLE projected_turns ADD COLUMN at_ms INTEGER;
  `);
}

/** Version 15: which spans link to which traces. Segments of earlier versions are added when somebody asks for links. */
function traceLinks(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE trace_links (
      target_id TEXT NOT NULL, segment_id INTEGER NOT NULL, spans TEXT NOT NULL,
      PRIMARY KEY (target_id, segment_id)) WITHOUT ROWID;
    CREATE TABLE trace_links_fill (
      one INTEGER PRIMARY KEY CHECK (one = 1), after INTEGER NOT NULL, up_to INTEGER NOT NULL);
    INSERT INTO trace_links_fill SELECT 1, 0, id FROM trace_segments ORDER BY id DESC LIMIT 1;
  `);
}

/**
 * Version 16: what certificates say of spans with which something out of the ordinary happened, and of deleted segments; and when a
 * runner's last frame arrived.
 */
function certificates(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE trace_accounts (seq INTEGER PRIMARY KEY, trace_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL);
    ALTER TABLE trace_instances ADD COLUMN last_frame_ms INTEGER;
  `);
}

/**
 * Version 17: who answered an attempt's requests, which runners are forgotten, and which children are the newest, is found without a
 * look at all others. `seq` is the order in which runners were first seen, and children added. That of earlier children is not known;
 * those that are open count as newer.
 */
function flatSearches(sql: SqlStorage): void {
  sql.exec(`
    CREATE INDEX agent_answers_by_attempt ON agent_answers (attempt_id);
    ALTER TABLE trace_instances RENAME TO trace_instances_before;
    CREATE TABLE trace_instances (
      instance_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL,
      last_frame_ms INTEGER) WITHOUT ROWID;
    CREATE INDEX trace_instances_by_seq ON trace_instances (seq);
    INSERT INTO trace_instances
      SELECT instance_id, ROW_NUMBER() OVER (ORDER BY last_seen_ms), last_seq, last_seen_ms, last_frame_ms
      FROM trace_instances_before;
    DROP TABLE trace_instances_before;
    ALTER TABLE children RENAME TO children_before;
    DROP INDEX children_open;
    CREATE TABLE children (
      seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, channel TEXT NOT NULL, reason TEXT);
    INSERT INTO children (id, state, channel, reason)
      SELECT id, state, channel, reason FROM children_before ORDER BY state <> 'ended', id;
    DROP TABLE children_before;
    CREATE INDEX children_open ON children (id) WHERE state <> 'ended';
  `);
}
