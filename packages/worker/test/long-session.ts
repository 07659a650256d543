/** Makes a session old: its tables get the rows of a long life, as copies of those that it has. */

/** The columns of each growing table that differ from copy to copy; `i` counts the copies from 1. */
const COPIED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  jobs: { seq: "seq + i * 100", id: "id || '_' || i", attemptId: "attemptId || '_' || i" },
  attempts: { id: "id || '_' || i", jobIds: `replace(jobIds, '"]', '_' || i || '"]')` },
  answers: { attempt_id: "attempt_id || '_' || i" },
  turns: { seq: "seq + i * 100", attempt_id: "attempt_id || '_' || i" },
  workflow_steps: { execution_id: "execution_id || '_' || i" },
  channels: { channel: "channel || '_' || i" },
  children: { id: "id || '_' || i" },
  parent_reported: { id: "id || '_' || i" },
  trace_segments: { id: "id + i * 100" },
  trace_index: { trace_id: "substr(trace_id, 1, 24) || printf('%08x', i)", segment_id: "segment_id + i * 100" },
  trace_starts: { trace_id: "substr(trace_id, 1, 24) || printf('%08x', i)", start_us: "start_us - i" },
  trace_sealed: { span_id: "substr(span_id, 1, 8) || printf('%08x', i)" },
};

/** Adds `copies` of each row that no work in progress needs any more. */
export function growOld(sql: SqlStorage, copies: number): void {
  for (const [table, copied] of Object.entries(COPIED)) {
    const columns = sql.exec("SELECT name FROM pragma_table_info(?)", table).toArray();
    const names = columns.map(({ name }) => name as string);
    const values = names.map((name) => copied[name] ?? name);
    sql.exec(
      `INSERT INTO ${table} (${names.join(", ")})
       WITH RECURSIVE copies (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < ?)
       SELECT ${values.join(", ")} FROM ${table} JOIN copies`,
      copies,
    );
  }
}
