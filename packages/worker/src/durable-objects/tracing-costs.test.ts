// What tracing adds to a plain turn: what the object commits, writes, reads and exchanges with the runner, with tracing on and off,
// from the message's acceptance until everything is stored, projected and exported. The frames are those of the real runner for a turn
// with one model call. These bounds keep the CPU time of the benchmark `session` from creeping up: it grows with the number of
// commits, frames and statements. The last test counts what a turn costs without tracing.
import type { FromRunner, ToRunner, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import {
  encodeTraces,
  extractFromHeaders,
  type ReadableSpan,
  SpanKind,
  serialiseSpan,
  Tracer,
} from "@valet/shared/tracing";
import { expect, test } from "vitest";
import type { HostLink } from "../../test/course/host.ts";
import { type HostedSession, SESSION_ID, withHost } from "../../test/course/with-host.ts";
import { NO_WORK } from "../../test/fake-runner.ts";
import { CALLER, valueIn } from "../../test/session.ts";

interface Costs {
  /** Transactions that wrote something, and single writes outside of any. */
  commits: number;
  /** Transactions, also those that wrote nothing. */
  transactions: number;
  statements: number;
  rowsWritten: number;
  rowsRead: number;
  framesIn: number;
  framesOut: number;
}

const none = (): Costs => ({
  commits: 0,
  transactions: 0,
  statements: 0,
  rowsWritten: 0,
  rowsRead: 0,
  framesIn: 0,
  framesOut: 0,
});

/** Counts, from now on, what the object does with its database. */
function countDatabase(storage: DurableObjectStorage, costs: Costs): void {
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  let depth = 0;
  sql.exec = ((query: string, ...values: SqlStorageValue[]) => {
    const cursor = exec(query, ...values);
    costs.statements++;
    // All of its rows, which count as read once they are.
    const rows = cursor.toArray();
    costs.rowsWritten += cursor.rowsWritten;
    costs.rowsRead += cursor.rowsRead;
    if (depth === 0 && cursor.rowsWritten > 0) costs.commits++;
    return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() };
  }) as unknown as typeof sql.exec;
  const transactionSync = storage.transactionSync.bind(storage);
  storage.transactionSync = ((work: () => unknown) => {
    const written = costs.rowsWritten;
    if (depth === 0) costs.transactions++;
    depth++;
    try {
      return transactionSync(work);
    } finally {
      depth--;
      if (depth === 0 && costs.rowsWritten > written) costs.commits++;
    }
  }) as typeof storage.transactionSync;
}

/** How long a span may wait for others in the runner (span-outbox.ts). */
const FRAME_DELAY_MS = 500;

/** The frames of a runner about one turn. */
class Runner {
  readonly heard: ToRunner[] = [];
  readonly #costs: Costs;
  readonly #isTracing: boolean;
  readonly #ended: ReadableSpan[] = [];
  readonly #tracer: Tracer;
  #link: HostLink | undefined;
  #seq = 0;

  constructor(costs: Costs, isTracing: boolean) {
    this.#costs = costs;
    this.#isTracing = isTracing;
    const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => this.#ended.push(span) };
    this.#tracer = new Tracer({ scope: { name: "@valet/runner" }, processor });
  }

  async connect({ host, boot }: HostedSession): Promise<void> {
    const { token, generation } = await boot();
    const onText = (text: string) => {
      this.heard.push(JSON.parse(text) as ToRunner);
      this.#costs.framesOut++;
    };
    this.#link = await host.connect(token, generation, { onText, onClosed: () => {} });
    const identity = { instanceId: "run_1", generation, clockMs: Date.now(), ready: true, version: "1" };
    this.send({ type: "hello", protocol: 1, attempts: [], ...identity });
  }

  send(frame: FromRunner): void {
    this.#costs.framesIn++;
    this.#link?.send(JSON.stringify(frame));
  }

  /**
   * Takes the turn that was dispatched.
   * @param lengthMs how long it takes
   * @param pass lets time go by
   */
  async takeTurn(lengthMs: number, pass: (ms: number) => Promise<void>): Promise<void> {
    const { dispatch } = this.heard.findLast(({ type }) => type === "prompt") as ToRunnerOf<"prompt">;
    const { attemptId, traceparent, tracestate } = dispatch;
    const attributes = { "valet.session.id": SESSION_ID };
    const start = (name: string, parent: Parameters<Tracer["startSpan"]>[1] = {}) =>
      this.#tracer.startSpan(name, { attributes, ...parent });
    const turn = start("valet.turn", {
      kind: SpanKind.CONSUMER,
      parent: extractFromHeaders({ traceparent, tracestate }),
    });
    const text = (span: unknown) => serialiseSpan(span as ReadableSpan);
    this.send({ type: "attempt-accepted", attemptId, ...(this.#isTracing && { span: text(turn) }) });
    const agent = start("invoke_agent build", { parent: turn });
    start("valet.agent.prepare", { parent: agent }).end();
    const chat = start("chat scripted", { parent: agent });
    await pass(lengthMs / 2);
    // What has ended, and what has been open for a while.
    const isLong = lengthMs / 2 >= FRAME_DELAY_MS;
    if (this.#isTracing && isLong) this.send({ type: "spans", ...this.#spans(), open: [agent, chat].map(text) });
    this.send({ type: "part", attemptId, part: { type: "text", id: "prt_1", text: "Done" } });
    await pass(lengthMs / 2);
    chat.end();
    agent.end();
    start("valet.turn.finalize", { parent: turn }).end();
    turn.end();
    const parts = [{ type: "text", id: "prt_1", text: "Done." }] as const;
    const spans = this.#isTracing ? { spans: this.#spans() } : {};
    const ended = { attemptId, outcome: "ok", opencodeSessionId: "oc_1", summary: NO_WORK } as const;
    this.send({ type: "turn-ended", ...ended, parts: [...parts], ...spans });
  }

  #spans() {
    const otlp = encodeTraces({ "service.name": "valet-runner" }, this.#ended.splice(0));
    return { instanceId: "run_1", seq: ++this.#seq, otlp };
  }
}

/** The request that brings the message, as the Worker hands it over. */
function request(): typeof CALLER {
  const tracer = new Tracer({ scope: { name: "@valet/worker" }, processor: { onStart: () => {}, onEnd: () => {} } });
  const span = tracer.startSpan("POST /api/sessions/:id/messages", {
    kind: SpanKind.SERVER,
    parent: extractFromHeaders({ traceparent: CALLER.traceparent }),
  });
  return { ...CALLER, request: { span: serialiseSpan(span as unknown as ReadableSpan), status: 202 } };
}

/** Returns what the second turn of a session costs. The first one stores what later ones find. */
async function costsOfTurn(lengthMs: number, isTracing: boolean): Promise<Costs> {
  const costs = none();
  let counted = none();
  const variables = isTracing
    ? { OTEL_EXPORTER_OTLP_ENDPOINT: "https://otlp.test", OTEL_BSP_SCHEDULE_DELAY: "5000" }
    : { OTEL_SDK_DISABLED: "true" };
  const RealResponse = Response;
  await withHost(
    variables,
    async (session) => {
      const { host, storage } = session;
      const runner = new Runner(costs, isTracing);
      await runner.connect(session);
      await host.pass(30_000);
      for (const turn of [1, 2]) {
        if (turn === 2) countDatabase(storage, Object.assign(costs, none()));
        valueIn(await host.agent.sendMessage({ content: "work" }, isTracing ? request() : CALLER));
        await runner.takeTurn(lengthMs, (ms) => host.pass(ms));
        await host.pass(30_000);
      }
      // What follows reads the session, which is no part of the turn.
      counted = { ...costs };
      expect(host.failures).toEqual([]);
      expect(valueIn(await host.agent.turns()).turns).toHaveLength(2);
    },
    async () => new RealResponse(null, { status: 200 }),
  );
  return counted;
}

/** What tracing may add to a turn of a length, in ms. */
const BOUNDS: readonly (readonly [lengthMs: number, most: Costs])[] = [
  // The segment, and the cursor of its export: turns within five seconds share both.
  [200, { commits: 2, transactions: 1, statements: 32, rowsWritten: 17, rowsRead: 72, framesIn: 0, framesOut: 0 }],
  // And a frame of spans that have been open for a while.
  [1000, { commits: 3, transactions: 2, statements: 43, rowsWritten: 24, rowsRead: 83, framesIn: 1, framesOut: 1 }],
];

test.each(BOUNDS)("a plain turn of %i ms costs little more with tracing than without", async (lengthMs, most) => {
  const [on, off] = [await costsOfTurn(lengthMs, true), await costsOfTurn(lengthMs, false)];
  const added = Object.entries(on).map(([what, count]) => [what, count - off[what as keyof Costs]] as const);
  for (const [what, count] of added) expect(count, what).toBeLessThanOrEqual(most[what as keyof Costs]);
});

test("a turn reads each row once a transaction, and sets one alarm", async () => {
  const { commits, statements } = await costsOfTurn(200, false);
  expect(commits).toBeLessThanOrEqual(11);
  expect(statements).toBeLessThanOrEqual(119);
  await withHost({ OTEL_SDK_DISABLED: "true" }, async (session) => {
    const { host } = session;
    const runner = new Runner(none(), false);
    await runner.connect(session);
    await host.pass(30_000);
    const before = host.alarms;
    valueIn(await host.agent.sendMessage({ content: "work" }, CALLER));
    await runner.takeTurn(200, (ms) => host.pass(ms));
    // Its projections are written meanwhile: once while it runs, once at its end.
    await host.pass(1000);
    expect(host.database.turns.size).toBe(1);
    expect(host.alarms - before).toBe(1);
  });
});

test.each([
  ["false", { cost_usd: 0, isCostPartial: false }],
  ["true", { cost_usd: null, isCostPartial: true }],
] as const)("with OTEL_SDK_DISABLED=%s, what a turn has cost before its runner reports it is %o", async (off, cost) => {
  await withHost({ OTEL_SDK_DISABLED: off }, async (session) => {
    const { host } = session;
    const runner = new Runner(none(), false);
    await runner.connect(session);
    await host.pass(30_000);
    valueIn(await host.agent.sendMessage({ content: "work" }, CALLER));
    const during: unknown[] = [];
    await runner.takeTurn(200, async (ms) => {
      await host.pass(ms);
      during.push(valueIn(await host.agent.now()));
    });
    expect(during[0]).toMatchObject({ ...cost, running: [{ cost_usd: null, isCostPartial: true }] });
    await host.pass(1000);
    expect(valueIn(await host.agent.now())).toMatchObject({ cost_usd: NO_WORK.costUsd, isCostPartial: false });
  });
});
