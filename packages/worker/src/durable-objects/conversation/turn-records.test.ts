import { runInDurableObject } from "cloudflare:test";
import { TurnList } from "@valet/shared/protocol/session-api";
import { expect, test } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { TestSession, valueIn } from "../../../test/session.ts";
import { waitParts } from "./turn-records.ts";

const start = (begunMs: number, madeMs: number | null, endedMs: number | null) => ({ begunMs, madeMs, endedMs });

test.each([
  ["no start", { fromMs: 0, toMs: 100 }, [], 0, 0],
  ["the whole of a start", { fromMs: 0, toMs: 100 }, [start(10, 40, 90)], 30, 50],
  ["a start that was under way when it came", { fromMs: 50, toMs: 100 }, [start(10, 40, 90)], 0, 40],
  ["a start that was over before it came", { fromMs: 95, toMs: 100 }, [start(10, 40, 90)], 0, 0],
  [
    "a start that failed at the broker, and the next one",
    { fromMs: 0, toMs: 100 },
    [start(0, null, 20), start(30, 50, 100)],
    40,
    50,
  ],
  ["a start that is not over", { fromMs: 0, toMs: 100 }, [start(20, null, null)], 80, 0],
] as const)("of a wait, the sandbox took its part: %s", (_name, wait, starts, sandbox_ms, bootstrap_ms) => {
  expect(waitParts(wait, starts)).toEqual({ sandbox_ms, bootstrap_ms });
});

test("a record of a version that had one column for all reasons is read as this one writes it", async () => {
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
