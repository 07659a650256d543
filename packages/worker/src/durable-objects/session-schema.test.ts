import { expect, test } from "vitest";
import { inStorage } from "../../test/in-storage.ts";
import { upgradeFromAd59303 } from "../../test/old-tables.ts";
import { sourcesWith } from "../../test/sources.ts";

/** What there is in a database, but for the order of columns. */
function formOf(sql: SqlStorage): object {
  const known = sql
    .exec("SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\'")
    .toArray();
  return Object.fromEntries(
    known.map(({ type, name }) => {
      const columns = sql
        .exec('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?) ORDER BY name', name)
        .toArray();
      return [`${type} ${name}`, columns];
    }),
  );
}

test.each([
  ["the oldest version whose state directories are opened", ""],
  ["a version before that, without workflows", "DROP TABLE workflow_steps; ALTER TABLE messages DROP COLUMN kind;"],
])("a database of %s gets the form of a new one", (_, statements) =>
  inStorage((storage) => {
    const { sql } = storage;
    const fresh = formOf(sql);
    upgradeFromAd59303(storage, statements);
    expect(formOf(sql)).toEqual(fresh);
    expect(Object.keys(fresh).length).toBeGreaterThan(25);
  }),
);

test("waiting calls in tables of their own are migrated", () =>
  inStorage((storage) => {
    const { sql } = storage;
    const context = { traceId: "a".repeat(32), spanId: "b".repeat(16) };
    const [span, call, report, answer] = [
      context,
      { action: "spawn", childId: "ses_2" },
      { id: "r2" },
      { ok: true },
    ].map((value) => `'${JSON.stringify(value)}'`);
    upgradeFromAd59303(
      storage,
      `INSERT INTO leftovers VALUES ('box', 'sandbox', 'local', ${span}, 2), ('snap', 'snapshot', '', ${span}, 0);
       INSERT INTO timers VALUES ('leftover', 'box', 5000, ''), ('child-end', 'ses_1', 6000, '');
       INSERT INTO children VALUES ('ses_1', 'ending', 'main', 'requested', 3), ('ses_2', 'open', 'main', NULL, 0);
       INSERT INTO child_requests (id, call, answer, tries) VALUES ('q1', 'null', ${answer}, 0), ('q2', ${call}, NULL, 4);
       INSERT INTO parent_reports (id, report, context) VALUES ('r1', NULL, ${span}), ('r2', ${report}, ${span});
       INSERT INTO projected_session VALUES (1, 7, 7);
       INSERT INTO projected_turns (record) VALUES ('{}');
       CREATE TABLE capacity_lease (one INTEGER PRIMARY KEY CHECK (one = 1), lease TEXT NOT NULL);
       INSERT INTO capacity_lease VALUES (1, '{"version":3,"isConfirmed":false}');`,
    );
    const rows = sql.exec("SELECT kind, key, seq, payload, tries, calling FROM durable_calls").toArray();
    expect(rows.map(({ payload, ...row }) => ({ ...row, payload: JSON.parse(payload as string) }))).toEqual([
      { kind: "capacity-report", key: "", seq: 1, tries: 0, calling: 0, payload: null },
      { kind: "child-end", key: "ses_1", seq: 1, tries: 3, calling: 0, payload: { reason: "requested" } },
      {
        kind: "child-request",
        key: "q2",
        seq: 1,
        tries: 4,
        calling: 0,
        payload: { action: "spawn", childId: "ses_2" },
      },
      {
        kind: "orphan",
        key: "box",
        seq: 1,
        tries: 2,
        calling: 0,
        payload: { what: "sandbox", driver: "local", from: context },
      },
      {
        kind: "orphan",
        key: "snap",
        seq: 1,
        tries: 0,
        calling: 0,
        payload: { what: "snapshot", driver: "", from: context },
      },
      {
        kind: "parent-report",
        key: "",
        seq: 2,
        tries: 0,
        calling: 0,
        payload: { report: { id: "r2" }, span: context },
      },
      { kind: "projection", key: "", seq: 1, tries: 0, calling: 0, payload: null },
    ]);
    expect(sql.exec("SELECT kind, key, due_ms FROM timers").toArray()).toEqual([
      { kind: "child-end", key: "ses_1", due_ms: 6000 },
      { kind: "orphan", key: "box", due_ms: 5000 },
    ]);
    expect(sql.exec("SELECT id FROM parent_reported").toArray()).toEqual([{ id: "r1" }, { id: "r2" }]);
    expect(sql.exec("SELECT lease FROM capacity_lease").toArray()).toEqual([{ lease: '{"version":3}' }]);
    expect(sql.exec("SELECT version FROM projected_session").toArray()).toEqual([{ version: 7 }]);
  }));

test("only migrations create tables and add columns", () => {
  const makers = sourcesWith(/(?:CREATE|ALTER|DROP) (?:TABLE|INDEX|UNIQUE)/);
  expect(makers).toEqual(["capacity/capacity-schema.ts", "core/schema.ts", "session-schema.ts"]);
});
