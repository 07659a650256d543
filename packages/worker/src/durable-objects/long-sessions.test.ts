// What a session reads from its database does not depend on how long it has lived: the rows read by everything that it does are
// counted in a young session and in an old one.
import { runInDurableObject } from "cloudflare:test";
import { expect, inject, test } from "vitest";
import { eventually } from "../../test/eventually.ts";
import type { FakeRunner } from "../../test/fake-runner.ts";
import { ask, sessionIn } from "../../test/family.ts";
import { growOld } from "../../test/long-session.ts";
import { type RowsRead, rowsReadBy, totalOf, UNCOUNTED } from "../../test/rows-read.ts";
import { RunnerSpans } from "../../test/runner-spans.ts";
import { boot, hibernate } from "../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";
import { hasPattern } from "../../test/statements/plans.ts";
import { cursorOf } from "./core/cursor.ts";

/** Copies of each row: pages of 50 are full in the young session, too. */
const YOUNG = 120;
const OLD = 3000;

const WORKFLOW = { name: "check", steps: [{ name: "build", run: "make" }], channel: "builds" };

/** A session that has done one of each thing, and then `copies` more of each. */
async function aged(copies: number): Promise<{ session: TestSession; runner: FakeRunner; sql: SqlStorage }> {
  const { session, runner } = await TestSession.running();
  await takeTurn(session, runner);
  await runWorkflow(session, runner);
  await haveChild(session, runner);
  await answerPermission(session, runner);
  await hibernate(session, runner);
  const sql = await runInDurableObject(session.stub, (_object, { storage }) => {
    growOld(storage.sql, copies);
    waitForEndpoint(storage.sql, copies);
    return storage.sql;
  });
  return { session, runner: await wake(session), sql };
}

/** What is left to do: jobs, and changes that D1 lacks. Statements of the test are not counted. */
const LEFT = `SELECT (SELECT COUNT(*) FROM attempts WHERE state <> 'ended') + (SELECT COUNT(*) FROM jobs WHERE status <> 'done')
  + (SELECT COUNT(*) FROM timers WHERE kind = 'projection') AS jobs ${UNCOUNTED}`;

/** Waits until nothing is left to do. */
async function rest(session: TestSession): Promise<void> {
  await eventually(async () => {
    const left = await runInDurableObject(session.stub, (_object, { storage }) => storage.sql.exec(LEFT).one().jobs);
    expect(left).toBe(0);
  });
}

async function takeTurn(session: TestSession, runner: FakeRunner, channel?: string): Promise<void> {
  await session.send("go", channel === undefined ? {} : { channel });
  const { attemptId } = await runner.accept();
  await runner.end(attemptId);
  await rest(session);
}

async function runWorkflow(session: TestSession, runner: FakeRunner): Promise<void> {
  await session.startWorkflow(WORKFLOW);
  const { attemptId } = await runner.acceptWorkflow();
  await runner.endWorkflow(attemptId, {
    steps: [{ index: 0, status: "done", outcome: "ok", durationMs: 5, exitCode: 0 }],
  });
  await rest(session);
}

async function haveChild(session: TestSession, runner: FakeRunner): Promise<void> {
  const child = TestSession.of(sessionIn(await ask(runner, { action: "spawn", prompt: "count", title: "Counting" })));
  await ask(runner, { action: "list" });
  await ask(runner, { action: "end", session: child.id });
  await child.reaches("terminated");
  await rest(session);
}

/** The agent asks for a permission, and uses it in a tool; both are spans of the turn. */
async function answerPermission(session: TestSession, runner: FakeRunner): Promise<string> {
  const messageId = await session.send("ask");
  const { attemptId, traceparent } = await runner.accept();
  const permissionId = `per_${messageId}`;
  runner.send({ type: "permission-asked", attemptId, permissionId, permission: "bash", detail: "make" });
  await eventually(async () => expect((await session.view()).permissions).toHaveLength(1));
  valueIn(await session.stub.replyPermission(permissionId, "once", CALLER));
  const spans = new RunnerSpans(session);
  const startMs = Date.now();
  const turn = spans.turn({ traceparent }, startMs, startMs + 2);
  spans.add("execute_tool bash", turn, startMs, startMs + 1);
  await spans.sendTo(runner);
  await runner.end(attemptId);
  await rest(session);
  return messageId;
}

/** Events wait for an endpoint that does not answer. */
function waitForEndpoint(sql: SqlStorage, events: number): void {
  const notice = JSON.stringify({ id: "evt_1", atMs: Date.now(), body: "{}" });
  sql.exec(
    `INSERT INTO durable_calls
     WITH RECURSIVE events (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM events WHERE i < ?1)
     SELECT 'webhook', 'wh_1', i, ?2, IIF(i = 1, 3, 0), 0 FROM events`,
    events,
    notice,
  );
  sql.exec("INSERT INTO timers VALUES ('webhook', 'wh_1', ?, '')", Date.now() + 3_600_000);
}

async function connectClient({ stub }: TestSession): Promise<void> {
  const headers = { upgrade: "websocket" };
  const { webSocket } = await stub.fetch(new Request("https://session/client", { headers }));
  webSocket?.accept();
  webSocket?.close();
}

/** Reads the first lines of all spans. */
async function readSpans({ stub }: TestSession): Promise<void> {
  const reader = valueIn(await stub.spans()).getReader();
  await reader.read();
  await reader.cancel();
}

async function wake(session: TestSession): Promise<FakeRunner> {
  valueIn(await session.stub.wake(CALLER));
  const runner = await boot(session);
  await rest(session);
  return runner;
}

/** Everything that a session does, by name, and the rows that it reads for that. */
async function readBy(copies: number): Promise<Map<string, RowsRead>> {
  const { session, runner, sql } = await aged(copies);
  const { stub } = session;
  const rows = new Map<string, RowsRead>();
  const measure = async (name: string, work: () => unknown) => void rows.set(name, await rowsReadBy(sql, work));
  /** The cursor of a list in its middle. */
  const middleOf = (list: string, ...order: string[]) =>
    cursorOf(`${list} ${session.id}`, ...order, String(copies * 50));
  await measure("the view", () => stub.view());
  await measure("the oldest messages", () => stub.messages());
  await measure("the newest messages", () => stub.messages(undefined, "desc"));
  await measure("messages in the middle", async () => valueIn(await stub.messages(middleOf("messages"))));
  await measure("messages in the middle, descending", async () =>
    valueIn(await stub.messages(middleOf("messages", "desc"))),
  );
  await measure("the oldest workflows", () => stub.workflows());
  await measure("workflows in the middle", async () => valueIn(await stub.workflows(middleOf("workflows"))));
  await measure("the oldest turns", () => stub.turns());
  await measure("turns in the middle", async () => valueIn(await stub.turns(middleOf("turns"))));
  const { nextCursor } = valueIn(await stub.traces());
  await measure("the newest traces", async () => valueIn(await stub.traces()));
  await measure("the next page of traces", async () => valueIn(await stub.traces(nextCursor)));
  await measure("a turn", () => takeTurn(session, runner));
  await measure("a turn in another channel", () => takeTurn(session, runner, "side"));
  await measure("a workflow", () => runWorkflow(session, runner));
  await measure("a child session", () => haveChild(session, runner));
  await measure("messages that wait and are withdrawn", async () => {
    await session.send("go");
    const { attemptId } = await runner.accept();
    await session.send("wait");
    await session.send("wait, too");
    valueIn(await stub.clearQueue(CALLER));
    await runner.end(attemptId);
    await rest(session);
  });
  let asked = "";
  await measure("a permission", async () => {
    asked = await answerPermission(session, runner);
  });
  await measure("what it does now", async () => valueIn(await stub.now()));
  await measure("why", async () => valueIn(await stub.why("message", asked)));
  await measure("why its first message took long", async () => {
    valueIn(await stub.why("message", valueIn(await stub.messages()).messages[0]?.id as string));
  });
  await measure("a message, and those before it", async () => {
    valueIn(await stub.message(asked));
    valueIn(await stub.messages(undefined, "desc", asked));
  });
  await measure("ids", async () => {
    for (const prefix of ["msg_", "wfl_", "att_", "a"]) valueIn(await stub.findIds(prefix));
  });
  await measure("what turns changed", async () => valueIn(await stub.readDiff({ patch: "none", from: "first" })));
  await measure("certificates", async () => valueIn(await stub.certifyMessage(asked)));
  for (const [place, { traceId }] of valueIn(await stub.traces())
    .traces.slice(0, 5)
    .entries()) {
    await measure(`trace ${place} of the list`, async () => {
      await new Response(valueIn(await stub.readTrace(traceId))).text();
      valueIn(await stub.readSkeleton(traceId));
      valueIn(await stub.searchTrace(traceId, "valet"));
      valueIn(await stub.readBacklinks(traceId));
      valueIn(await stub.certifyTrace(traceId, true));
    });
  }
  await measure("all spans", () => readSpans(session));
  await measure("a client connects", () => connectClient(session));
  await measure("an alarm", () => session.alarm());
  let awake: FakeRunner | undefined;
  await measure("a hibernate and a wake", async () => {
    await hibernate(session, runner);
    awake = await wake(session);
  });
  await measure("the first turn in a new sandbox", () => answerPermission(session, awake as FakeRunner));
  await measure("a start of the object", async () => {
    await session.evict();
    await session.view();
  });
  await measure("the session's end", async () => {
    valueIn(await stub.terminate(CALLER));
    await (awake as FakeRunner).next("shutdown");
    (awake as FakeRunner).send({ type: "stopped" });
    await session.reaches("terminated");
  });
  return rows;
}

/**
 * What a statement may read more in one course than in another of the same kind: a frame comes together with another, or alone.
 * The same holds for how often a statement runs.
 */
const SLACK = { rows: 5, runs: 40 };

/**
 * The statements that read more rows at once in the old session than in the young one, or run for each of its rows.
 * @param elsewhere what each statement reads at once in any course of the young session: of one that did not run in this course, such
 * as a look for timers that are due
 */
function growing(young: RowsRead, old: RowsRead, elsewhere: ReadonlyMap<string, number>): string[] {
  return [...old].flatMap(([query, { most, runs }]) => {
    const before = young.get(query) ?? { most: elsewhere.get(query) ?? 0, runs: 0 };
    const isMore = most > before.most + SLACK.rows || runs > 2 * before.runs + SLACK.runs;
    return isMore ? [`${before.most} → ${most} rows, ${before.runs} → ${runs} runs: ${query}`] : [];
  });
}

test("nothing that a session does reads more rows because it has lived for long", { timeout: 120_000 }, async () => {
  const young = await readBy(YOUNG);
  const old = await readBy(OLD);
  const elsewhere = new Map<string, number>();
  for (const [query, { most }] of [...young.values()].flatMap((read) => [...read])) {
    elsewhere.set(query, Math.max(most, elsewhere.get(query) ?? 0));
  }
  const rows = [...old.keys()].map((name) => {
    const [before, after] = [young.get(name) as RowsRead, old.get(name) as RowsRead];
    return { name, young: totalOf(before), old: totalOf(after), growing: growing(before, after, elsewhere) };
  });
  expect(rows.filter((row) => row.growing.length > 0)).toEqual([]);
  // Nothing ran that `statements.test.ts` does not look at, but for a new child's migrations and `TestSession.timers`.
  const known = ["SELECT kind FROM timers ORDER BY kind", ...inject("statements").map(({ pattern }) => pattern)];
  const texts = [...old.values()].flatMap((read) =>
    [...read.keys()].map((text) => text.replaceAll(/\s+/g, " ").trim()),
  );
  const ran = new Set(texts.filter((text) => !/^(?:CREATE|ALTER|DROP) |;|_before /.test(text)));
  expect(ran.size).toBeGreaterThan(60);
  expect([...ran].filter((text) => !known.some((pattern) => hasPattern(pattern, text)))).toEqual([]);
});
