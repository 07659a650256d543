import { runInDurableObject } from "cloudflare:test";
import { TurnList } from "@valet/shared/protocol/session-api";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { NO_WORK } from "../../../test/fake-runner.ts";
import { upgradeFromAd59303 } from "../../../test/old-tables.ts";
import { TestSession, valueIn } from "../../../test/session.ts";
import { NEW_SESSION } from "../../../test/session-record.ts";
import { upgradeSchema } from "../core/schema.ts";
import type { AttemptRow } from "../queue/job-store.ts";
import { SESSION_MIGRATIONS } from "../session-schema.ts";
import { TurnRecords } from "./turn-records.ts";

test("a record of a version with one column for all reasons is converted to today's columns", async () => {
  const { session, runner } = await TestSession.running();
  await session.send("go");
  await runner.end((await runner.accept()).attemptId);
  await eventually(async () => expect(valueIn(await session.stub.turns()).turns).toHaveLength(1));
  await runInDurableObject(session.stub, (_object, { storage }) => {
    storage.sql.exec(`UPDATE turns SET record = json_set(
      json_remove(record, '$.outcome_reason', '$.error_cause', '$.prepare_ms', '$.calls_without_usage'),
      '$.outcome', 'aborted', '$.error_type', 'user_abort')`);
  });
  const { turns } = TurnList.parse(valueIn(await session.stub.turns()));
  expect(turns).toMatchObject([
    { outcome: "aborted", error_type: null, outcome_reason: "user_abort", error_cause: null, prepare_ms: null },
  ]);
});

const NO_WAIT = { sandbox_ms: 0, bootstrap_ms: 0 };
const ATTEMPT: AttemptRow = {
  id: "att_1",
  number: 1,
  generation: 1,
  channel: "main",
  state: "ended",
  jobIds: ["msg_1"],
  context: { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1, traceState: "", isRemote: false },
  dispatchedMs: 0,
  acceptedMs: 0,
  endedMs: 1,
  waitMs: 0,
  stop: null,
  progress: null,
};

const SESSION = { ...NEW_SESSION, createdMs: 0, updatedMs: 0 };

/** Runs a test on the records of an object of its own. */
async function withRecords(work: (records: TurnRecords, sql: SqlStorage) => void, before?: string): Promise<void> {
  const { SESSION_AGENT } = bindings;
  await runInDurableObject(SESSION_AGENT.get(SESSION_AGENT.newUniqueId()), (_object, { storage }) => {
    if (before === undefined) upgradeSchema(storage, SESSION_MIGRATIONS);
    else upgradeFromAd59303(storage, before);
    work(new TurnRecords(storage.sql, () => 0), storage.sql);
  });
}

/** Writes the record of a turn that has cost so much, and of whose calls so many have a cost that is not known. */
function spend(records: TurnRecords, costUsd: number | null, callsWithoutCost?: number): void {
  const summary = { ...NO_WORK, costUsd, ...(callsWithoutCost !== undefined && { callsWithoutCost }) };
  records.write({ ...ATTEMPT, id: crypto.randomUUID() }, [], { outcome: "ok", summary }, SESSION, [], () => NO_WAIT);
}

test("the cost of all turns is 0 if they were free, and unknown if no known cost was added", () =>
  withRecords((records) => {
    expect(records.cost()).toEqual({ usd: 0, isPartial: false });
    spend(records, 0);
    expect(records.cost()).toEqual({ usd: 0, isPartial: false });
    spend(records, null, 2);
    expect(records.cost()).toEqual({ usd: null, isPartial: true });
    spend(records, 0.25);
    expect(records.cost()).toEqual({ usd: 0.25, isPartial: true });
    spend(records, 0.5, 1);
    expect(records.cost()).toEqual({ usd: 0.75, isPartial: true });
  }));

test("a sum of 0 that lacks calls is unknown in the record, whatever the runner reports", () =>
  withRecords((records) => {
    spend(records, 0, 1);
    expect(records.after(0, 1)[0]?.record).toMatchObject({ cost_usd: null, calls_without_cost: 1 });
  }));

test("what a runner told during the work is a lower bound, and a sum of 0 then is unknown", () =>
  withRecords((records) => {
    const end = { outcome: "lost", errorType: "runner_lost", isSummarySoFar: true } as const;
    const write = (costUsd: number) => {
      const summary = { ...NO_WORK, costUsd, callsWithoutCost: 1 };
      return records.write(
        { ...ATTEMPT, id: crypto.randomUUID() },
        [],
        { ...end, summary },
        SESSION,
        [],
        () => NO_WAIT,
      );
    };
    expect(write(0.25)).toMatchObject({ cost_usd: 0.25, calls_without_cost: 2, calls_without_usage: 1 });
    expect(write(0)).toMatchObject({ cost_usd: null, calls_without_cost: 2 });
    expect(records.cost()).toEqual({ usd: 0.25, isPartial: true });
  }));

test("the cost of any number of turns takes one read, and a turn that is written twice counts once", () =>
  withRecords((records, sql) => {
    for (let turns = 0; turns < 300; turns++) spend(records, 0.01);
    records.write({ ...ATTEMPT, id: "twice" }, [], { outcome: "ok", summary: NO_WORK }, SESSION, [], () => NO_WAIT);
    records.write({ ...ATTEMPT, id: "twice" }, [], { outcome: "ok", summary: NO_WORK }, SESSION, [], () => NO_WAIT);
    expect(records.cost().usd).toBeCloseTo(3.01, 9);
    expect(rowsRead(sql, () => records.cost())).toBeLessThanOrEqual(2);
    expect(rowsRead(sql, () => spend(records, 0.01))).toBeLessThanOrEqual(10);
  }));

test("records of an earlier version count, too", () => {
  const rows = Array.from({ length: 100 }, (_, row) => {
    const record = row === 0 ? { cost_usd: null } : { cost_usd: 0.01, calls_without_cost: 0 };
    return `INSERT INTO turns (attempt_id, record) VALUES ('att_${row}', '${JSON.stringify(record)}');`;
  });
  return withRecords((records, sql) => {
    expect(records.cost()).toEqual({ usd: expect.closeTo(0.99, 9), isPartial: true });
    spend(records, 0.01);
    expect(records.cost()).toEqual({ usd: expect.closeTo(1, 9), isPartial: true });
    expect(rowsRead(sql, () => records.cost())).toBeLessThanOrEqual(2);
  }, rows.join(""));
});

/** How many rows a piece of work reads. */
function rowsRead(sql: SqlStorage, work: () => void): number {
  const exec = sql.exec.bind(sql);
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  sql.exec = ((query: string, ...values: SqlStorageValue[]) => {
    const cursor = exec(query, ...values);
    cursors.push(cursor);
    return cursor;
  }) as typeof sql.exec;
  work();
  sql.exec = exec as typeof sql.exec;
  return cursors.reduce((total, cursor) => total + cursor.rowsRead, 0);
}

test("the tools of a turn are those whose calls ended; none is known of a turn about which nothing is", () =>
  withRecords((records) => {
    const toolsOf = (toolCalls: number | undefined, ...names: string[]) => {
      const summary = toolCalls === undefined ? undefined : { ...NO_WORK, toolCalls };
      const steps = names.map((name) => ({ kind: "tool" as const, name, ms: [1] }));
      const stepDurations = [{ kind: "model" as const, name: "a/b", ms: [1] }, ...steps];
      const attempt = { ...ATTEMPT, id: crypto.randomUUID() };
      return records.write(attempt, [], { outcome: "ok", summary, stepDurations }, SESSION, [], () => NO_WAIT).tools;
    };
    expect(toolsOf(3, "edit", "bash", "edit")).toEqual(["bash", "edit"]);
    expect(toolsOf(0)).toEqual([]);
    expect(toolsOf(1)).toBeNull();
    expect(toolsOf(undefined)).toBeNull();
  }));
