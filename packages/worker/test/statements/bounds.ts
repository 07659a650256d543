/** What bounds each statement that may read more than one row. */

/** Tables that do not grow with a session's life, or with the number of sessions. All others grow. */
export const BOUNDED_TABLES: Readonly<Record<string, string>> = {
  agent_requests: "at most 200 are open (agent-requests.ts)",
  broker_calls: "calls that have no answer yet",
  capacity_lease: "one row",
  child_requests: "the last 200, and those that have no answer yet (child-store.ts)",
  d1_migrations: "one row for each migration",
  durable_calls: "calls that are not acknowledged yet",
  entries: "the sessions that have a slot or wait for one; read when the capacity object starts",
  json_each: "a list that the caller passes",
  notices: "one row",
  parent_messages: "the parent's messages that no report has answered yet",
  parent_refused: "one row",
  pragma_table_info: "the columns of one table",
  projected_session: "one row",
  projected_turns: "turns that D1 lacks; the last ones, unless D1 is away",
  retention_sweep: "one row",
  rollup_fill: "one row, or none",
  sandbox_starts: "the last starts (start-times.ts)",
  schema_version: "one row",
  session: "one row",
  sqlite_master: "the tables and indexes of the schema",
  timers: "one for each kind, and for each attempt in flight or call that waits",
  trace_drops: "one row for each reason",
  trace_export: "one row",
  trace_links_fill: "one row, or none",
  trace_open: "spans that are open now; at most 500 for each runner",
  trace_tail: "fewer than 200 spans, sampled or not",
};

/** A statement on a growing table, with the steps of its plan that may read more than one row. */
export interface BoundedStatement {
  /** The statement; `…` stands for any text. */
  readonly statement: string;
  readonly steps: readonly string[];
  readonly because: string;
}

const PAGE = "an index has the page's rows together and in order, up to the LIMIT";
const LAST = "reads the last row only, from the end of the table";
const FIRST = "reads the first row only";
const NEXT = "reads the next row only";

/** A list of sessions. */
function listed(conditions: string, index: string): BoundedStatement {
  const page = `SELECT created_at, id, view FROM sessions WHERE ${conditions} ORDER BY created_at DESC, id DESC LIMIT ?`;
  return {
    statement: `WITH page AS ( ${page}), … FROM page) SELECT view FROM sized …`,
    steps: [`SEARCH sessions USING INDEX ${index}`, "USE TEMP B-TREE FOR ORDER BY"],
    because: `${PAGE}; only the page is sorted`,
  };
}

/** A page of a search. */
function searched(conditions: string, index: string): BoundedStatement {
  return {
    statement: `SELECT id, created_at AS createdAt, … FROM sessions WHERE ${conditions} ORDER BY created_at DESC, id DESC LIMIT 1000`,
    steps: [`SEARCH sessions USING INDEX ${index}`],
    because: PAGE,
  };
}

/** The conditions of a list of sessions, with the index that each combination uses. */
const LISTS: readonly (readonly [conditions: string, index: string])[] = [
  ["owner_id = ?", "sessions_by_owner (owner_id=?)"],
  ["owner_id = ? AND (created_at, id) < (?, ?)", "sessions_by_owner (owner_id=? AND (created_at,id)<(?,?))"],
  ["owner_id = ? AND export_problem IS NOT NULL", "sessions_by_export_problem (owner_id=?)"],
  [
    "owner_id = ? AND (created_at, id) < (?, ?) AND export_problem IS NOT NULL",
    "sessions_by_export_problem (owner_id=? AND (created_at,id)<(?,?))",
  ],
  ["owner_id = ? AND parent_session_id = ?", "sessions_by_parent (owner_id=? AND parent_session_id=?)"],
  [
    "owner_id = ? AND parent_session_id = ? AND (created_at, id) < (?, ?)",
    "sessions_by_parent (owner_id=? AND parent_session_id=? AND (created_at,id)<(?,?))",
  ],
  [
    "owner_id = ? AND parent_session_id = ? AND export_problem IS NOT NULL",
    "sessions_by_parent_and_export_problem (owner_id=? AND parent_session_id=?)",
  ],
  [
    "owner_id = ? AND parent_session_id = ? AND (created_at, id) < (?, ?) AND export_problem IS NOT NULL",
    "sessions_by_parent_and_export_problem (owner_id=? AND parent_session_id=? AND (created_at,id)<(?,?))",
  ],
];

/** A page of the sessions that need attention. */
function attention(conditions: string, index: string): BoundedStatement {
  return {
    statement: `SELECT id, … FROM sessions WHERE owner_id = ? AND ${conditions} ORDER BY attention_since, id LIMIT ?`,
    steps: [`SEARCH sessions USING INDEX sessions_by_attention (owner_id=? AND ${index})`],
    because: PAGE,
  };
}

const IN_DATABASE: readonly BoundedStatement[] = [
  attention("attention_since IS NOT NULL", "attention_since>?"),
  attention("attention_since IS NOT NULL AND (attention_since, id) > (?, ?)", "(attention_since,id)>(?,?)"),
  {
    statement: "INSERT INTO step_durations …",
    steps: [
      "SCAN step VIRTUAL TABLE INDEX 1:",
      "SEARCH step_durations USING PRIMARY KEY (owner_id=?)",
      "SEARCH known USING PRIMARY KEY (owner_id=? AND kind=? AND name=?)",
      "USE TEMP B-TREE FOR ORDER BY",
    ],
    because:
      "a turn has at most 40 tools and models, an owner at most about 500, each with at most 200 durations (step-durations.ts)",
  },
  {
    statement: "SELECT found.kind, … FROM json_each(?2) AS wanted CROSS JOIN step_durations AS found …",
    steps: ["SCAN wanted VIRTUAL TABLE INDEX 1:", "SEARCH found USING PRIMARY KEY (owner_id=? AND kind=? AND name=?)"],
    because: "reads one row for each tool or model that the caller names",
  },
  {
    statement:
      "SELECT id, created_at AS at, … FROM sessions WHERE owner_id = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?",
    steps: ["SEARCH sessions USING INDEX sessions_by_owner_and_id (owner_id=? AND id>? AND id<?)"],
    because: PAGE,
  },
  ...LISTS.map(([conditions, index]) => listed(conditions, index)),
  ...LISTS.map(([conditions, index]) => searched(conditions, index)),
  {
    statement: "SELECT json_remove(view, … FROM sessions LEFT JOIN session_costs … LIMIT ?",
    steps: ["SEARCH sessions USING INDEX sessions_by_parent (owner_id=? AND parent_session_id=?)"],
    because: PAGE,
  },
  {
    statement: "DELETE FROM tickets WHERE session_id = ?",
    steps: ["SEARCH tickets USING INDEX tickets_by_session (session_id=?)"],
    because: "once, when the session is deleted: its tickets of versions that wrote this table",
  },
  {
    statement: "DELETE FROM socket_tickets WHERE session_id = ?",
    steps: ["SEARCH socket_tickets USING INDEX socket_tickets_by_session (session_id=?)"],
    because: "once, when the session is deleted: its tickets of the last 30 s, or since a ticket was last issued",
  },
  {
    statement:
      "WITH RECURSIVE family (id, level, created_at) AS (…), page AS (…) SELECT … ORDER BY depth, created_at, id",
    steps: [
      "SEARCH child USING PRIMARY KEY (id=?)",
      "SEARCH sessions USING COVERING INDEX sessions_by_parent (owner_id=? AND parent_session_id=?)",
      "USE TEMP B-TREE FOR ORDER BY",
      "USE TEMP B-TREE FOR GROUP BY",
      "USE TEMP B-TREE FOR ORDER BY",
    ],
    because: "reads a few rows for each session of the family, up to 10,000, and none of its turns (family.ts)",
  },
  {
    statement:
      "SELECT COUNT(*) AS sessions, … WHERE export_problem IS NOT NULL ORDER BY export_problem_since LIMIT 1000)",
    steps: ["SCAN sessions USING INDEX sessions_by_export_problem_since"],
    because: PAGE,
  },
  {
    statement: "DELETE FROM socket_tickets WHERE expires_at <= ?",
    steps: ["SEARCH socket_tickets USING INDEX socket_tickets_by_expiry (expires_at<?)"],
    because: "reads the expired tickets, which it deletes",
  },
];

/** The lists of turns, by the filter that chooses the candidates. */
function turnsBy(candidates: string, index: string, equal: string, covers = true): BoundedStatement[] {
  const where = `FROM turns WHERE ${candidates} AND ended_at >= ?12 AND …`;
  const search = (kind: string) =>
    `SEARCH turns USING ${kind} ${index} (${equal} AND ended_at>? AND (ended_at,attempt_id)<(?,?))`;
  const read = search("INDEX");
  const passed = search(covers ? "COVERING INDEX" : "INDEX");
  const because =
    "an index has the candidates together and in order, up to 1000 for a page and 10,000 for a sorted list";
  return [
    { statement: `SELECT * FROM ( SELECT * ${where} LIMIT ?15) WHERE … LIMIT ?16`, steps: [read], because },
    {
      statement: `SELECT ended_at AS endedAt, attempt_id AS attemptId ${where} OFFSET ?15 - 1`,
      steps: [read, passed],
      because,
    },
    {
      statement: `SELECT * FROM ( SELECT *, CASE … ${where} LIMIT ?19`,
      steps: [read, "USE TEMP B-TREE FOR ORDER BY"],
      because,
    },
    { statement: `SELECT 1 ${where} OFFSET ?15`, steps: [passed], because },
  ];
}

const FILL = "the turns of one step of the fill, at most 500 and those that arrived since then (rollup-fill.ts)";

const OF_UPKEEP: readonly BoundedStatement[] = [
  {
    statement: "SELECT id, updated_at AS updatedAt FROM sessions WHERE status = 'terminated' … LIMIT ?",
    steps: ["SEARCH sessions USING INDEX sessions_by_end ((updated_at,id)>(?,?) AND updated_at<?)"],
    because: PAGE,
  },
  {
    statement: "SELECT MAX(attempt_id) AS upTo FROM (SELECT attempt_id FROM turns … LIMIT 500)",
    steps: ["SEARCH turns USING PRIMARY KEY (attempt_id>?)"],
    because: PAGE,
  },
  {
    statement: "INSERT INTO turn_facts SELECT * FROM turn_facts WHERE attempt_id > ?1 …",
    steps: ["SEARCH turns USING PRIMARY KEY (attempt_id>? AND attempt_id<?)"],
    because: FILL,
  },
  {
    statement: "DELETE FROM rolled_up_meanwhile WHERE attempt_id > ?1 AND attempt_id <= ?2 …",
    steps: ["SEARCH rolled_up_meanwhile USING PRIMARY KEY (attempt_id>? AND attempt_id<?)"],
    because: FILL,
  },
  {
    statement: "DELETE FROM rolled_up_meanwhile WHERE attempt_id > ?",
    steps: ["SEARCH rolled_up_meanwhile USING PRIMARY KEY (attempt_id>?)"],
    because: "turns that arrived during the last step of the fill",
  },
];

const OF_TURNS: readonly BoundedStatement[] = [
  ...turnsBy("owner_id = ?1", "turns_by_owner", "owner_id=?"),
  ...turnsBy("session_id = ?9 AND owner_id = ?1", "turns_by_session", "session_id=?", false),
  ...turnsBy("owner_id = ?1 AND COALESCE(error_cause, error_type) = ?7", "turns_by_cause", "owner_id=? AND <expr>=?"),
  ...turnsBy("owner_id = ?1 AND outcome = ?6 AND outcome <> 'ok'", "turns_by_outcome", "owner_id=? AND outcome=?"),
  ...turnsBy("owner_id = ?1 AND user_id = ?2", "turns_by_user", "owner_id=? AND user_id=?"),
  ...turnsBy("owner_id = ?1 AND repository = ?3", "turns_by_repository", "owner_id=? AND repository=?"),
  {
    statement: "SELECT * FROM turn_rollups WHERE owner_id = ? AND (hour, … LIMIT 5000",
    steps: [
      "SEARCH turn_rollups USING PRIMARY KEY (owner_id=? AND (hour,user_id,repository,branch,channel,model,outcome,error_type)>(?,?,?,?,?,?,?,?) AND hour<?)",
    ],
    because: `${PAGE}; a request reads at most ten pages (turn-rollups.ts)`,
  },
  {
    statement: "SELECT * FROM tool_rollups WHERE owner_id = ? AND (hour, … LIMIT 5000",
    steps: [
      "SEARCH tool_rollups USING PRIMARY KEY (owner_id=? AND (hour,tool,user_id,repository,branch,channel,model,outcome,error_type)>(?,?,?,?,?,?,?,?,?) AND hour<?)",
    ],
    because: `${PAGE}; a request reads at most ten pages (turn-rollups.ts)`,
  },
];

const OF_THE_QUEUE: readonly BoundedStatement[] = [
  {
    statement: "SELECT COUNT(*) AS count FROM jobs WHERE status = 'queued'",
    steps: ["SCAN jobs USING COVERING INDEX jobs_queued"],
    because: "the index has the queued jobs only, at most 500 (intake.ts)",
  },
  {
    statement: "SELECT * FROM jobs WHERE status = 'queued' ORDER BY seq",
    steps: ["SCAN jobs USING INDEX jobs_queued"],
    because: "the index has the queued jobs only, at most 500 (intake.ts)",
  },
  {
    statement: "SELECT * FROM jobs WHERE kind = ? AND seq > ? ORDER BY seq LIMIT ?",
    steps: ["SEARCH jobs USING INDEX jobs_by_kind (kind=? AND seq>?)"],
    because: PAGE,
  },
  {
    statement: "SELECT * FROM jobs WHERE kind = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
    steps: ["SEARCH jobs USING INDEX jobs_by_kind (kind=? AND seq<?)"],
    because: PAGE,
  },
  {
    statement: "SELECT id, kind, acceptedMs FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
    steps: ["SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id>? AND id<?)"],
    because: PAGE,
  },
  {
    statement: "SELECT * FROM jobs WHERE channel = ? AND status = 'done' ORDER BY seq DESC LIMIT ?",
    steps: ["SEARCH jobs USING INDEX jobs_done (channel=?)"],
    because: PAGE,
  },
  {
    statement: "SELECT * FROM jobs WHERE channel = ? AND status = 'done' AND seq < ? ORDER BY seq DESC LIMIT 1",
    steps: ["SEARCH jobs USING INDEX jobs_done (channel=? AND seq<?)"],
    because: "reads the last row before this one only",
  },
  { statement: "SELECT acceptedMs, endedMs FROM jobs ORDER BY seq DESC LIMIT 1", steps: ["SCAN jobs"], because: LAST },
  { statement: "SELECT COALESCE(MAX(seq), 0) + 1 AS seq FROM jobs", steps: ["SEARCH jobs"], because: LAST },
  {
    statement: "SELECT * FROM attempts WHERE state <> 'ended' ORDER BY dispatchedMs, id",
    steps: ["SCAN attempts USING INDEX attempts_open"],
    because: "the index has the attempts in flight only: one for each channel with work",
  },
  {
    statement: "SELECT step, state FROM workflow_steps WHERE execution_id = ?",
    steps: ["SEARCH workflow_steps USING PRIMARY KEY (execution_id=?)"],
    because: "the steps of one workflow",
  },
  {
    statement: "DELETE FROM workflow_steps WHERE execution_id = ? AND step >= ?",
    steps: ["SEARCH workflow_steps USING PRIMARY KEY (execution_id=? AND step>?)"],
    because: "the steps of one workflow",
  },
];

const OF_THE_SESSION: readonly BoundedStatement[] = [
  {
    statement:
      "SELECT seq, record, counts FROM turns LEFT JOIN turn_changes USING (attempt_id) WHERE seq > ? ORDER BY seq LIMIT ?",
    steps: ["SEARCH turns USING INTEGER PRIMARY KEY (rowid>?)"],
    because: PAGE,
  },
  {
    statement:
      "SELECT attempt_id AS id FROM turns WHERE attempt_id >= ? AND attempt_id < ? ORDER BY attempt_id LIMIT ?",
    steps: ["SEARCH turns USING COVERING INDEX sqlite_autoindex_turns_1 (attempt_id>? AND attempt_id<?)"],
    because: PAGE,
  },
  {
    statement: "SELECT json_extract(record, '$.ended_at') AS endedAt FROM turns ORDER BY seq DESC LIMIT 1",
    steps: ["SCAN turns"],
    because: LAST,
  },
  {
    statement: "SELECT seq FROM turns ORDER BY seq DESC LIMIT 1",
    steps: ["SCAN turns"],
    because: LAST,
  },
  {
    statement: "SELECT seq FROM turns ORDER BY seq LIMIT 1",
    steps: ["SCAN turns"],
    because: FIRST,
  },
  {
    statement: "SELECT total FROM turn_patches ORDER BY seq DESC LIMIT 1",
    steps: ["SCAN turn_patches"],
    because: LAST,
  },
  {
    statement: "SELECT seq, attempt_id, total - bytes AS before FROM turn_patches ORDER BY seq LIMIT 1",
    steps: ["SCAN turn_patches"],
    because: FIRST,
  },
  {
    statement: "SELECT total_usd AS usd, total_lacking AS lacking FROM turns ORDER BY seq DESC LIMIT 1",
    steps: ["SCAN turns"],
    because: LAST,
  },
  {
    statement: "DELETE FROM channels",
    steps: ["EVERY ROW OF channels"],
    because: "deletes each row once, when a sandbox is lost with its files",
  },
  {
    statement: "SELECT * FROM children WHERE state <> 'ended'",
    steps: ["SCAN children USING INDEX children_open"],
    because: "the index has the children only that have not ended: at most five are open (family.ts)",
  },
  {
    statement: "SELECT id FROM children ORDER BY seq DESC LIMIT ?",
    steps: ["SCAN children"],
    because: "the last rows, from the end of the table, up to the LIMIT",
  },
  {
    statement: "SELECT user_id FROM agent_answers WHERE attempt_id = ? ORDER BY seq",
    steps: ["SEARCH agent_answers USING INDEX agent_answers_by_attempt (attempt_id=?)"],
    because: "the answers to the requests of one attempt",
  },
  {
    statement: "DELETE FROM agent_answers WHERE seq <= (SELECT MAX(seq) FROM agent_answers) - ?",
    steps: ["SEARCH agent_answers USING INTEGER PRIMARY KEY (rowid<?)", "SEARCH agent_answers"],
    because: "finds the rows beyond the maximum, which it deletes",
  },
  {
    statement: "SELECT * FROM children WHERE seq > ? ORDER BY seq LIMIT ?",
    steps: ["SEARCH children USING INTEGER PRIMARY KEY (rowid>?)"],
    because: PAGE,
  },
  {
    statement: "SELECT COUNT(*) AS count FROM children WHERE seq > ?",
    steps: ["SEARCH children USING INTEGER PRIMARY KEY (rowid>?)"],
    because: "once, when a deletion stops waiting after a day",
  },
];

const OF_TRACES: readonly BoundedStatement[] = [
  {
    statement: "DELETE FROM trace_instances WHERE seq <= ?",
    steps: ["SEARCH trace_instances USING INDEX trace_instances_by_seq (seq<?)"],
    because: "finds the rows beyond the maximum, which it deletes",
  },
  {
    statement: "SELECT IFNULL(MAX(seq), 0) + 1 AS seq FROM trace_instances",
    steps: ["SEARCH trace_instances USING COVERING INDEX trace_instances_by_seq"],
    because: LAST,
  },
  { statement: "SELECT 1 FROM trace_sealed LIMIT 1", steps: ["SCAN trace_sealed"], because: FIRST },
  {
    statement: "SELECT segment_id, total FROM trace_index WHERE trace_id = ? ORDER BY segment_id DESC LIMIT 1",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id=?)"],
    because: LAST,
  },
  {
    statement: "SELECT trace_id AS id FROM trace_index WHERE trace_id >= ? ORDER BY trace_id LIMIT 1",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id>?)"],
    because: NEXT,
  },
  {
    statement: "SELECT trace_id FROM trace_starts WHERE (start_us, trace_id) < (?, ?) AND trace_id NOT IN … LIMIT ?",
    steps: ["SEARCH trace_starts USING PRIMARY KEY ((start_us,trace_id)<(?,?))"],
    because: `${PAGE}; passes only the traces with open spans or spans in the tail`,
  },
  {
    statement:
      "SELECT segment_id AS id, is_whole AS whole FROM trace_index WHERE trace_id = ? AND segment_id > ? ORDER BY segment_id",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id=? AND segment_id>?)"],
    because: "one row for each segment of the trace that is read",
  },
  {
    statement:
      "SELECT segment_id AS id, skeleton FROM trace_index WHERE trace_id = ? AND segment_id > ? ORDER BY segment_id LIMIT ?",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id=? AND segment_id>?)"],
    because: "one row for each segment of the trace that is read",
  },
  {
    statement:
      "SELECT segment_id AS id, spans FROM trace_links WHERE target_id = ? AND segment_id > ? AND segment_id <= ? ORDER BY segment_id LIMIT ?",
    steps: ["SEARCH trace_links USING PRIMARY KEY (target_id=? AND segment_id>? AND segment_id<?)"],
    because: PAGE,
  },
  {
    statement: "SELECT MAX(segment_id) AS last, … JOIN trace_segments ON … WHERE trace_id = ?",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id=?)"],
    because: "one row for each segment of the trace of a turn; a page has at most 50 turns",
  },
  {
    statement:
      "SELECT segment_id AS id, sampled, … FROM trace_index JOIN trace_segments ON … WHERE trace_id = ? ORDER BY segment_id",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id=?)"],
    because: "one row for each segment of the trace whose certificate is read",
  },
  {
    statement: "DELETE FROM trace_accounts WHERE seq <= (SELECT MAX(seq) FROM trace_accounts) - ? AND trace_id <> ?",
    steps: ["SEARCH trace_accounts USING INTEGER PRIMARY KEY (rowid<?)", "SEARCH trace_accounts"],
    because:
      "finds the accounts beyond the maximum, which it deletes: at most a few, and the one of spans that nobody can name",
  },
  {
    statement: "SELECT 1 FROM trace_index WHERE trace_id = ?1 UNION ALL … LIMIT 1",
    steps: ["SEARCH trace_index USING PRIMARY KEY (trace_id=?)"],
    because: FIRST,
  },
  {
    statement: "SELECT id, closed_ms, sampled FROM trace_segments WHERE id > ? ORDER BY id LIMIT 1",
    steps: ["SEARCH trace_segments USING INTEGER PRIMARY KEY (rowid>?)"],
    because: NEXT,
  },
  {
    statement: "SELECT id, closed_ms FROM trace_segments WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1",
    steps: ["SEARCH trace_segments USING INTEGER PRIMARY KEY (rowid>?)"],
    because: "passes each unsampled segment once: the export's cursor moves past it (trace-export.ts)",
  },
  {
    statement: "SELECT id, spans, body FROM trace_segments WHERE id > ? AND sampled = 1 ORDER BY id LIMIT 1",
    steps: ["SEARCH trace_segments USING INTEGER PRIMARY KEY (rowid>?)"],
    because: "the export's cursor is right before a sampled segment (trace-export.ts)",
  },
  {
    statement: "SELECT id, spans, body FROM trace_segments WHERE id > ? ORDER BY id LIMIT 1",
    steps: ["SEARCH trace_segments USING INTEGER PRIMARY KEY (rowid>?)"],
    because: NEXT,
  },
  {
    statement: "SELECT end_sampled - … AS begin FROM trace_segments WHERE id > ? ORDER BY id LIMIT 1",
    steps: ["SEARCH trace_segments USING INTEGER PRIMARY KEY (rowid>?)"],
    because: NEXT,
  },
  {
    statement: "SELECT TOTAL(spans) AS spans FROM trace_segments WHERE id > ? AND sampled = 1",
    steps: ["SEARCH trace_segments USING INTEGER PRIMARY KEY (rowid>?)"],
    because: "runs only while segments wait that a version without running counts wrote",
  },
  { statement: "SELECT MAX(id) AS id FROM trace_segments", steps: ["SEARCH trace_segments"], because: LAST },
  {
    statement: "SELECT end_bytes AS bytes, end_sampled AS spans FROM trace_segments ORDER BY id DESC LIMIT 1",
    steps: ["SCAN trace_segments"],
    because: LAST,
  },
  {
    statement: "SELECT end_bytes - LENGTH(body) AS begin FROM trace_segments ORDER BY id LIMIT 1",
    steps: ["SCAN trace_segments"],
    because: FIRST,
  },
  {
    statement: "DELETE FROM trace_segments WHERE id = (SELECT MIN(id) FROM trace_segments) AND …",
    steps: ["SEARCH trace_segments", "SEARCH trace_segments"],
    because: "the first and the last id, from the ends of the table",
  },
];

/** The tokens or the endpoints of one owner. */
function ofOwner(index: string, covering: boolean, because: string, ...statements: string[]): BoundedStatement[] {
  const step = `SEARCH ${index.replace("_by_owner", "")} USING ${covering ? "COVERING " : ""}INDEX ${index} (owner_id=?)`;
  return statements.map((statement) => ({ statement, steps: [step], because }));
}

const FEW_TOKENS = "an owner has at most 100 tokens, and those of `valet up`";
const FEW_PAGES = "an owner has at most 20 tickets and 50 page sessions (page-tickets.ts, page-sessions.ts)";
const FEW_WEBHOOKS = "an owner has at most MAX_WEBHOOKS endpoints";

const OF_OWNERS: readonly BoundedStatement[] = [
  ...ofOwner(
    "tokens_by_owner",
    false,
    FEW_TOKENS,
    "SELECT hash, name, created_at, … FROM tokens WHERE owner_id = ? ORDER BY created_at LIMIT 1000",
    "DELETE FROM tokens WHERE owner_id = ? AND expires_at < ?",
    "DELETE FROM tokens WHERE hash >= ? AND hash < ? AND owner_id = ?",
  ),
  ...ofOwner(
    "tokens_by_owner",
    true,
    FEW_TOKENS,
    "INSERT INTO tokens … WHERE (SELECT COUNT(*) FROM tokens WHERE owner_id = ?) < ?",
  ),
  ...ofOwner(
    "page_tickets_by_owner",
    false,
    FEW_PAGES,
    "DELETE FROM page_tickets WHERE token_hash >= ? AND token_hash < ? AND owner_id = ?",
  ),
  ...ofOwner(
    "page_tickets_by_owner",
    true,
    FEW_PAGES,
    "DELETE FROM page_tickets WHERE hash IN (SELECT hash FROM page_tickets WHERE owner_id = ? ORDER BY expires_at DESC …)",
  ),
  ...ofOwner(
    "page_sessions_by_owner",
    false,
    FEW_PAGES,
    "DELETE FROM page_sessions WHERE token_hash >= ? AND token_hash < ? AND owner_id = ?",
  ),
  ...ofOwner(
    "page_sessions_by_owner",
    true,
    FEW_PAGES,
    "DELETE FROM page_sessions WHERE hash IN (SELECT hash FROM page_sessions WHERE owner_id = … ORDER BY expires_at DESC …)",
  ),
  ...["page_tickets", "page_sessions"].map((table) => ({
    statement: `DELETE FROM ${table} WHERE owner_id = ? AND expires_at <= ?`,
    steps: [`SEARCH ${table} USING INDEX ${table}_by_owner (owner_id=? AND expires_at<?)`],
    because: "reads the expired rows, which it deletes",
  })),
  ...ofOwner(
    "webhooks_by_owner",
    false,
    FEW_WEBHOOKS,
    "SELECT * FROM webhooks WHERE owner_id = ? ORDER BY created_at, id",
    "SELECT id, events FROM webhooks WHERE owner_id = ? AND disabled IS NULL ORDER BY created_at, id",
  ),
  ...ofOwner(
    "webhooks_by_owner",
    true,
    FEW_WEBHOOKS,
    "INSERT INTO webhooks … WHERE (SELECT COUNT(*) FROM webhooks WHERE owner_id = ?2) < ?7",
  ),
];

export const BOUNDED_STATEMENTS: readonly BoundedStatement[] = [
  ...IN_DATABASE,
  ...OF_OWNERS,
  ...OF_TURNS,
  ...OF_UPKEEP,
  ...OF_THE_QUEUE,
  ...OF_THE_SESSION,
  ...OF_TRACES,
];
