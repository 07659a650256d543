import fc from "fast-check";
import { expect, test } from "vitest";
import { EMPTY_CONVERSATION, type Message, withAnswers } from "./conversation.ts";
import { lifeSummary, livesOf } from "./lives.ts";
import { type Rest, restsOf } from "./rests.ts";
import { conversationRows } from "./rows.ts";

const START_MS = Date.UTC(2026, 10, 21);
const HOUR_MS = 3_600_000;
const at = (hours: number) => new Date(START_MS + hours * HOUR_MS).toISOString();
const job = (id: string, hours: number, more: Partial<Message> = {}): Message => ({
  id,
  status: "done",
  outcome: "ok",
  channel: "main",
  queueMode: "followup",
  source: "user",
  content: `do ${id}`,
  attachments: [],
  attempts: 1,
  acceptedAt: at(hours),
  dispatchedAt: at(hours),
  endedAt: at(hours + 0.1),
  parts: [],
  ...more,
});
const rest = (from: number, to?: number): Rest => ({
  startMs: START_MS + from * HOUR_MS,
  endMs: to === undefined ? undefined : START_MS + to * HOUR_MS,
  restoreMs: undefined,
});

test("each job is in one life, in order; what came while it slept belongs to the next one", () => {
  const hours = fc.integer({ min: 0, max: 200 });
  const sorted = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  fc.assert(
    fc.property(fc.array(hours), fc.array(hours), (accepted, slept) => {
      const jobs = accepted.toSorted((a, b) => a - b).map((hour, index) => job(`m${index}`, hour));
      const rests = sorted(slept).map((from) => rest(from, from + 1));
      const lives = livesOf(jobs, rests);
      expect(lives.flatMap((life) => life.jobs)).toEqual(jobs);
      expect(new Set(lives.map(({ key }) => key)).size).toBe(lives.length);
      for (const { jobs: own, rest: end } of lives) {
        for (const { acceptedAt } of own) expect(Date.parse(acceptedAt)).toBeLessThan(end?.startMs ?? Infinity);
      }
    }),
  );
});

const LIVES = [job("a", 0), job("b", 1, { outcome: "error" }), job("c", 20), job("d", 40), job("e", 41)];
const RESTS = [rest(2, 19.9), rest(21, 39.9)];

function rowsOf(messages: readonly Message[], more: Partial<Parameters<typeof conversationRows>[1]> = {}) {
  const conversation = withAnswers(EMPTY_CONVERSATION, { messages });
  const choices = { folds: new Map(), permissions: [], questions: [], rests: RESTS, ...more };
  return conversationRows(conversation, choices);
}
const shapeOf = (rows: ReturnType<typeof rowsOf>) =>
  rows
    .filter(({ kind }) => kind === "life" || kind === "rest" || kind === "head")
    .map(({ kind, jobId }) => `${kind} ${jobId}`);

test("turns before a hibernation are one row, a single one stays itself, and the life that goes on is not folded", () => {
  const [first, second] = RESTS.map(({ startMs }) => `life ${startMs}`);
  const folded = [`life ${first}`, `rest ${first}`, "head c", `rest ${second}`, "head d", "head e"];
  expect(shapeOf(rowsOf(LIVES))).toEqual(folded);
  const open = [`life ${first}`, "head a", "head b", `rest ${first}`, "head c", `rest ${second}`, "head d", "head e"];
  expect(shapeOf(rowsOf(LIVES, { folds: new Map([[String(first), true]]) }))).toEqual(open);
  // What is selected is not hidden.
  expect(shapeOf(rowsOf(LIVES, { selected: "b" }))).toEqual(open);
  expect(rowsOf(LIVES)[0]).toMatchObject({
    turns: 2,
    failed: 1,
    lost: 0,
    costUsd: null,
    isPartial: false,
    title: "do a",
  });
  expect(rowsOf(LIVES, { hasOlder: true })[0]).toMatchObject({ isPartial: true });
});

test("what runs, and what is asked, is in no folded life, whatever slept meanwhile", () => {
  const running = [job("a", 0), job("b", 1, { status: "accepted" }), job("c", 20)];
  expect(shapeOf(rowsOf(running)).filter((each) => each.startsWith("head"))).toEqual(["head a", "head b", "head c"]);
});

test("a session that sleeps now says so at its end, and its newest turns stay", () => {
  const rows = rowsOf([job("a", 0), job("b", 1)], { rests: [rest(2)] });
  expect(rows.at(-1)).toMatchObject({ kind: "rest", endMs: undefined });
  expect(shapeOf(rows).slice(0, 2)).toEqual(["head a", "head b"]);
});

test("the summary of a life adds up what is known, and says when something is not", () => {
  const turn = { attempt_id: "one", outcome: "lost", cost_usd: 0.2, files_changed: 1, calls_without_cost: 0 };
  const turns = new Map([["a", [turn, { ...turn, attempt_id: "two", outcome: "ok" }]]]) as unknown as Parameters<
    typeof lifeSummary
  >[1];
  const summary = lifeSummary([job("a", 0), job("b", 1)], turns);
  expect(summary).toMatchObject({ turns: 2, ms: 0.2 * HOUR_MS, costUsd: 0.4, isCostPartial: true, lost: 1, failed: 0 });
});

const recordsOf = (records: Readonly<Record<string, readonly object[]>>) =>
  new Map(Object.entries(records)) as unknown as Parameters<typeof lifeSummary>[1];

test("the turn of a batch counts once in its life, with its cost, its time and its loss", () => {
  const lost = { attempt_id: "one", outcome: "lost", cost_usd: 0.25, calls_without_cost: 0 };
  const batch = [lost, { ...lost, attempt_id: "two", outcome: "ok", cost_usd: 0.5 }];
  const alone = [{ ...lost, attempt_id: "three", outcome: "ok", cost_usd: 1 }];
  const jobs = [job("a", 0), job("b", 0), job("c", 0), job("d", 1)];
  const summary = lifeSummary(jobs, recordsOf({ a: batch, b: batch, c: batch, d: alone }));
  expect(summary).toMatchObject({ turns: 4, costUsd: 1.75, isCostPartial: false, lost: 1 });
  expect(summary.ms).toBeCloseTo(0.2 * HOUR_MS, 3);
});

test("a message that was withdrawn before it was dispatched makes the cost of its life no lower bound", () => {
  const { dispatchedAt: _, ...withdrawn } = job("b", 1, { attempts: 0, outcome: "aborted" });
  const turn = { attempt_id: "one", outcome: "ok", cost_usd: 0.5, calls_without_cost: 0 };
  const summary = lifeSummary([job("a", 0), withdrawn], recordsOf({ a: [turn] }));
  expect(summary).toMatchObject({ costUsd: 0.5, isCostPartial: false });
});

test("a life of which only free turns are known has no known cost", () => {
  const free = { attempt_id: "one", outcome: "ok", cost_usd: 0, calls_without_cost: 0 };
  const unknown = { ...free, attempt_id: "two", cost_usd: null };
  const summary = lifeSummary([job("a", 0), job("b", 1)], recordsOf({ a: [free], b: [unknown] }));
  expect(summary).toMatchObject({ costUsd: null, isCostPartial: true });
  expect(lifeSummary([job("a", 0)], recordsOf({ a: [free] }))).toMatchObject({ costUsd: 0, isCostPartial: false });
});

test("a rest knows how long the restore took that ended it", () => {
  const stretch = { generation: 1, hasFailed: false, traceId: undefined, spanId: undefined };
  const lifecycle = [
    { ...stretch, state: "running", startMs: 0, endMs: 10 },
    { ...stretch, state: "hibernated", startMs: 10, endMs: 20 },
    { ...stretch, state: "restoring", startMs: 20, endMs: 28 },
    { ...stretch, state: "hibernated", startMs: 30, endMs: 40 },
    { ...stretch, state: "restoring", startMs: 40, endMs: 41, hasFailed: true },
    { ...stretch, state: "hibernated", startMs: 50, endMs: undefined },
  ] as const;
  expect(restsOf(lifecycle)).toEqual([
    { startMs: 10, endMs: 20, restoreMs: 8 },
    { startMs: 30, endMs: 40, restoreMs: undefined },
    { startMs: 50, endMs: undefined, restoreMs: undefined },
  ]);
});
