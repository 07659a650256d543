// Every statement of the objects and of D1, as SQLite plans it. One that may read more rows as a session grows old, or as sessions
// become many, fails, and so does one that nobody has looked at: what bounds it belongs into test/statements/bounds.ts.
import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { bindings } from "../test/bindings.ts";
import { BOUNDED_STATEMENTS, BOUNDED_TABLES } from "../test/statements/bounds.ts";
import { type Database, hasPattern, openSteps } from "../test/statements/plans.ts";
import { migrate } from "./database/setup.ts";
import { upgradeSchema } from "./durable-objects/core/schema.ts";
import { SESSION_MIGRATIONS } from "./durable-objects/session-schema.ts";

const { DB, MIGRATIONS, SESSION_AGENT, CAPACITY } = bindings;
const statements = inject("statements");

const d1: Database = {
  all: async (query, ...values) =>
    (
      await DB.prepare(query)
        .bind(...values)
        .all()
    ).results,
};
function objectOf(namespace: typeof SESSION_AGENT | typeof CAPACITY): Database {
  const stub = (namespace as typeof SESSION_AGENT).get(namespace.idFromName("statements"));
  return {
    all: (query, ...values) =>
      runInDurableObject(stub, (_object, { storage }) => storage.sql.exec(query, ...values).toArray()),
  };
}
const session = objectOf(SESSION_AGENT);
const capacity = objectOf(CAPACITY);

function databaseOf({ by, file }: (typeof statements)[number]): Database {
  if (by === "prepare") return d1;
  return file.includes("/capacity/") ? capacity : session;
}

const isBounded = (table: string) => table in BOUNDED_TABLES;

beforeAll(async () => {
  await migrate(DB, MIGRATIONS);
  // An object has no tables before its session is created.
  const stub = SESSION_AGENT.get(SESSION_AGENT.idFromName("statements"));
  await runInDurableObject(stub, (_object, { storage }) => upgradeSchema(storage, SESSION_MIGRATIONS));
});

test("no statement reads more rows because a session is old, or because there are many", async () => {
  const unknown: string[] = [];
  for (const statement of statements) {
    const steps = await openSteps(databaseOf(statement), statement.text, isBounded);
    if (steps.length === 0) continue;
    const known = BOUNDED_STATEMENTS.filter((entry) => hasPattern(entry.statement, statement.text));
    const isKnown = known.some((entry) => JSON.stringify(entry.steps) === JSON.stringify(steps));
    if (!isKnown) unknown.push([`${statement.file}: ${statement.text}`, ...steps].join("\n    "));
  }
  expect(unknown).toEqual([]);
});

test("what is said about bounds is about statements and tables that there are", async () => {
  const texts = statements.map(({ text }) => text);
  expect(texts.length).toBeGreaterThan(130);
  // Of several statements in one text, only the first would be looked at.
  expect(texts.filter((text) => text.includes(";"))).toEqual([]);
  expect(
    BOUNDED_STATEMENTS.filter((entry) => texts.filter((text) => hasPattern(entry.statement, text)).length !== 1),
  ).toEqual([]);
  const databases = [d1, session, capacity];
  const found = await Promise.all(databases.map((each) => each.all("SELECT name FROM sqlite_master")));
  const tables = [...found.flat().map(({ name }) => name), "sqlite_master", "json_each", "pragma_table_info"];
  expect(Object.keys(BOUNDED_TABLES).filter((table) => !tables.includes(table))).toEqual([]);
});

test("triggers, which no plan shows, are known", async () => {
  const [inD1, inObject] = await Promise.all(
    [d1, session].map((each) => each.all("SELECT name FROM sqlite_master WHERE type = 'trigger'")),
  );
  // They add a turn to the row of its session, and to the rollups of its hour, keys and tools; and note it while older ones are being added.
  const names = [
    "tool_facts_roll_up",
    "turn_facts_roll_up",
    "turns_add_up",
    "turns_roll_up",
    "turns_roll_up_tools",
    "turns_rolled_up_meanwhile",
  ];
  expect(inD1?.map(({ name }) => name as string).toSorted()).toEqual(names);
  expect(inObject).toEqual([]);
});

describe("a statement is found to be open:", () => {
  test.each([
    ["a scan", "SELECT * FROM jobs WHERE reason = ?", ["SCAN jobs"]],
    ["a scan that ends after a few rows that match", "SELECT * FROM jobs WHERE reason = ? LIMIT 1", ["SCAN jobs"]],
    [
      "a partial index whose condition is only implied",
      "SELECT * FROM attempts WHERE state = 'accepted'",
      ["SCAN attempts"],
    ],
    [
      "all rows of an index's value",
      "SELECT COUNT(*) FROM jobs WHERE kind = ?",
      ["SEARCH jobs USING COVERING INDEX jobs_by_kind (kind=?)"],
    ],
    [
      "a part of a primary key",
      "SELECT * FROM trace_index WHERE trace_id = ?",
      ["SEARCH trace_index USING PRIMARY KEY (trace_id=?)"],
    ],
    ["a sort", "SELECT * FROM jobs ORDER BY endedMs LIMIT 1", ["SCAN jobs", "USE TEMP B-TREE FOR ORDER BY"]],
    ["a change of every row", "UPDATE jobs SET reason = ?", ["SCAN jobs"]],
    ["a removal of every row", "DELETE FROM turns", ["EVERY ROW OF turns"]],
    [
      "a scan within another statement",
      "DELETE FROM timers WHERE key IN (SELECT id FROM jobs WHERE reason = ?)",
      ["SCAN jobs"],
    ],
    ["a condition that may be absent", "SELECT * FROM turns WHERE ?1 IS NULL OR attempt_id = ?1", ["SCAN turns"]],
  ])("%s", async (_what, statement, steps) => {
    expect(await openSteps(session, statement, isBounded)).toEqual(steps);
  });

  test.each([
    "SELECT * FROM jobs WHERE id = ?",
    "SELECT * FROM trace_index WHERE trace_id = ? AND segment_id = ?",
    "SELECT * FROM timers ORDER BY due_ms",
    "INSERT INTO turns (attempt_id, record) VALUES (?, ?)",
    "UPDATE jobs SET reason = ? WHERE seq = ?",
  ])("%s is not", async (statement) => {
    expect(await openSteps(session, statement, isBounded)).toEqual([]);
  });
});
