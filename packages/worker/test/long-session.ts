/** Makes a session old: its tables get the rows of a long life, as copies of those that it has. */

/** An object's database. */
export interface Tables {
  exec(query: string, ...values: (string | number)[]): { toArray(): Record<string, unknown>[] };
}

type Copied = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** The columns of growing tables that differ from copy to copy; `i` counts the copies from 1. */
const OF_MESSAGES: Copied = {
  jobs: { seq: "seq + i * 100", id: "id || '_' || i", attemptId: "attemptId || '_' || i" },
  attempts: { id: "id || '_' || i", jobIds: `replace(jobIds, '"]', '_' || i || '"]')` },
  answers: { attempt_id: "attempt_id || '_' || i" },
  turns: { seq: "seq + i * 100", attempt_id: "attempt_id || '_' || i" },
  workflow_steps: { execution_id: "execution_id || '_' || i" },
  channels: { channel: "channel || '_' || i" },
  children: { seq: "seq + i * 100", id: "id || '_' || i" },
  parent_reported: { id: "id || '_' || i" },
  turn_changes: { attempt_id: "attempt_id || '_' || i" },
  turn_patches: { seq: "seq + i * 100", attempt_id: "attempt_id || '_' || i" },
  trace_users: { trace_id: "substr(trace_id, 1, 24) || printf('%08x', i)" },
};
const OF_SPANS: Copied = {
  trace_segments: {
    id: "id + i * 100",
    end_bytes: "end_bytes + i * (SELECT MAX(end_bytes) FROM trace_segments)",
    end_sampled: "end_sampled + i * (SELECT MAX(end_sampled) FROM trace_segments)",
  },
  trace_index: { trace_id: "substr(trace_id, 1, 24) || printf('%08x', i)", segment_id: "segment_id + i * 100" },
  trace_starts: { trace_id: "substr(trace_id, 1, 24) || printf('%08x', i)", start_us: "start_us - i" },
  trace_links: { target_id: "target_id", segment_id: "segment_id + i * 100" },
  trace_accounts: { seq: "seq + i * 100", trace_id: "substr(trace_id, 1, 24) || printf('%08x', i)" },
  trace_sealed: { span_id: "substr(span_id, 1, 8) || printf('%08x', i)" },
};

/** Of these the object keeps the last ones only. */
const OF_LAST: Copied = {
  agent_answers: {
    seq: "seq + i * (SELECT MAX(seq) FROM agent_answers)",
    id: "id || '_' || i",
    attempt_id: "attempt_id || '_' || i",
  },
  trace_instances: { seq: "seq + i * (SELECT MAX(seq) FROM trace_instances)", instance_id: "instance_id || '_' || i" },
};
/** How many of them it keeps at least, with some rows to spare. */
const KEPT = 450;

/**
 * Adds copies of each row, at most 99 of each table, of a session without work in progress. Copied spans count as exported.
 * @param messages the number of copies of messages and of what belongs to them @param spans the same of spans
 */
export function growOld(tables: Tables, messages: number, spans = messages): void {
  copyRows(tables, OF_MESSAGES, messages);
  copyRows(tables, OF_SPANS, spans);
  copyRows(tables, OF_LAST, Math.min(messages, KEPT));
  tables.exec("UPDATE trace_export SET segment_id = (SELECT MAX(id) FROM trace_segments)");
}

/** Adds copies of each row of some tables. */
export function copyRows(tables: Tables, of: Copied, copies: number): void {
  for (const [table, copied] of Object.entries(of)) {
    const columns = tables.exec("SELECT name FROM pragma_table_info(?)", table).toArray();
    const names = columns.map(({ name }) => name as string);
    const values = names.map((name) => copied[name] ?? name);
    tables.exec(
      `INSERT INTO ${table} (${names.join(", ")})
       WITH RECURSIVE copies (i) AS (SELECT 1 WHERE ?1 > 0 UNION ALL SELECT i + 1 FROM copies WHERE i < ?1)
       SELECT ${values.join(", ")} FROM ${table} JOIN copies`,
      copies,
    );
  }
}
