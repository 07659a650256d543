// What tracing costs the object a turn: transactions and rows written, counted at the real database. A turn like the demo's,
// with its spans known as open while it runs.
import { runInDurableObject } from "cloudflare:test";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { encodeTraces, type ReadableSpan, SpanKind, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { expect, test, vi } from "vitest";
import { eventually } from "../../test/eventually.ts";
import type { FakeRunner } from "../../test/fake-runner.ts";
import { boot, hibernate } from "../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";

interface Costs {
  commits: number;
  rows: number;
  /** How often the session's record was written. */
  records: number;
  /** How often the session was written to D1. That depends on time: changes that are closer than 200 ms are one write. */
  projections: number;
}

/** Counts, from now on, what the object of a session does with its database. */
async function count(session: TestSession): Promise<() => Promise<Costs>> {
  const costs: Costs = { commits: 0, rows: 0, records: 0, projections: 0 };
  await runInDurableObject(session.stub, (_object, { storage }) => {
    const { sql } = storage;
    const exec = sql.exec.bind(sql);
    sql.exec = ((query: string, ...values: unknown[]) => {
      const cursor = exec(query, ...values);
      if (query.startsWith("INSERT OR REPLACE INTO session ")) costs.records++;
      if (query.startsWith("UPDATE projected_session SET version")) costs.projections++;
      if (!/^\s*(?:SELECT|WITH)\b/i.test(query)) costs.rows += cursor.rowsWritten;
      return cursor;
    }) as typeof sql.exec;
    const transactionSync = storage.transactionSync.bind(storage);
    let depth = 0;
    storage.transactionSync = ((work: () => unknown) => {
      const rows = costs.rows;
      depth++;
      try {
        return transactionSync(work);
      } finally {
        depth--;
        // One that writes nothing costs nothing.
        if (depth === 0 && costs.rows > rows) costs.commits++;
      }
    }) as typeof storage.transactionSync;
  });
  return () => runInDurableObject(session.stub, () => ({ ...costs }));
}

/** The runner's spans of a turn, told of in `frames` span frames: each tells of an open one and ends the one before. */
function turnFrames(session: TestSession, traceparent: string, instanceId: string, frames: number) {
  const [, traceId = "", spanId = ""] = traceparent.split("-");
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  const parent = { traceId, spanId, traceFlags: 3, traceState: "", isRemote: true };
  const attributes = { "valet.session.id": session.id };
  const turn = tracer.startSpan("valet.turn", { kind: SpanKind.CONSUMER, parent, attributes });
  return Array.from({ length: frames }, (_, index): FromRunnerOf<"spans"> => {
    const open = tracer.startSpan(index % 2 === 0 ? "chat scripted" : "execute_tool read", {
      parent: turn,
      attributes,
    });
    const otlp = encodeTraces({ "service.name": "valet-runner" }, ended.splice(0));
    const spans = index === 0 ? [turn, open] : [open];
    const texts = spans.map((span) => serialiseSpan(span as unknown as ReadableSpan));
    open.end();
    return { type: "spans", instanceId, seq: index + 1, otlp, open: texts };
  });
}

/** Waits until D1 has the newest version of the session. */
async function projected(session: TestSession): Promise<void> {
  await eventually(async () => expect(await session.timers()).not.toContain("projection"));
}

async function takeTurn(session: TestSession, runner: FakeRunner, frames: number, seen: (costs: Costs) => void) {
  await projected(session);
  const read = await count(session);
  await session.send("go");
  const { attemptId, traceparent = "" } = await runner.accept();
  for (const frame of turnFrames(session, traceparent, runner.instanceId, frames)) {
    runner.send(frame);
    // As far apart as the runner keeps them: none is stored together with another.
    await eventually(() =>
      expect(runner.heard).toContainEqual(expect.objectContaining({ type: "spans-ack", seq: frame.seq })),
    );
  }
  await runner.end(attemptId);
  await eventually(async () => expect((await session.view()).agent).toBe("idle"));
  await projected(session);
  seen(await read());
}

type OwnCosts = Pick<Costs, "commits" | "rows">;

/** What a write of the session to D1 costs at most: it is scheduled, begun and confirmed. */
const PROJECTION = { commits: 3, rows: 9 };

/** Returns the costs without those of the projection. On a busy machine a turn takes longer, and is projected more than once. */
function withoutProjection({ commits, rows, projections }: Costs): OwnCosts {
  return { commits: commits - projections * PROJECTION.commits, rows: rows - projections * PROJECTION.rows };
}

test("a span frame costs one commit and a few rows, for any number of open spans", async () => {
  const costs: Costs[] = [];
  for (const frames of [1, 13]) {
    const { session, runner } = await TestSession.running();
    await takeTurn(session, runner, frames, (each) => costs.push(each));
  }
  const [short, long] = costs.map(withoutProjection) as [OwnCosts, OwnCosts];
  expect(long.commits - short.commits).toBeLessThanOrEqual(12 + 2);
  expect((long.rows - short.rows) / 12).toBeLessThanOrEqual(5);
  expect(short.commits).toBeLessThanOrEqual(3);
  expect(short.rows).toBeLessThanOrEqual(39);
});

test("a hibernate and a wake write the session's record at most once a commit", async () => {
  const { session, runner } = await TestSession.running();
  await projected(session);
  const read = await count(session);
  await hibernate(session, runner);
  valueIn(await session.stub.wake(CALLER));
  await boot(session);
  await projected(session);
  const { commits, records } = await read();
  expect(records).toBeLessThanOrEqual(commits);
});

test("an owner without webhooks has no row, no request and no round trip to D1 for them", async () => {
  const sent = vi.spyOn(globalThis, "fetch");
  const { session, runner } = await TestSession.running();
  await projected(session);
  const rows = () =>
    runInDurableObject(session.stub, (_object, { storage: { sql } }) => [
      sql.exec("SELECT COUNT(*) AS n FROM durable_calls WHERE kind = 'webhook'").one().n,
      sql.exec("SELECT told FROM notices").one().told,
    ]);
  const before = await rows();
  const written: string[] = [];
  await runInDurableObject(session.stub, (_object, { storage }) => {
    const exec = storage.sql.exec.bind(storage.sql);
    storage.sql.exec = ((query: string, ...values: unknown[]) => {
      if (/notices|'webhook'/.test(query) || values.includes("webhook")) written.push(query);
      return exec(query, ...values);
    }) as typeof exec;
  });
  const requests = sent.mock.calls.length;
  await takeTurn(session, runner, 3, () => {});
  // It only looks at what was told last, and finds it unchanged.
  expect(new Set(written)).toEqual(new Set(["SELECT told FROM notices"]));
  expect(await rows()).toEqual(before);
  expect(sent.mock.calls.length).toBe(requests);
  sent.mockRestore();
});
