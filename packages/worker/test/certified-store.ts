/** A session's trace store and its export to a backend that the test answers for, as the certificate sees them. */
import {
  alwaysOff,
  type OpenSpan,
  parseOpenSpan,
  type ReadableSpan,
  recordDropped,
  serialiseSpan,
  Tracer,
} from "@valet/shared/tracing";
import { expect } from "vitest";
import { TraceExport } from "../src/durable-objects/traces/trace-export.ts";
import { TraceStore } from "../src/durable-objects/traces/trace-store.ts";
import { SESSION, spansOf } from "./otlp.ts";

/** The spans of tests have the real time. */
export const NOW = Date.now();

interface Options {
  readonly maxBytes?: number;
  readonly hasBackend?: boolean;
}

/** What lies outside the object: it stays when the object is evicted. */
interface World {
  nowMs: number;
  isDiskFull: boolean;
  answer: () => Response | Promise<Response>;
  /** The spans of every request that was answered with a success, in order; with their traces. */
  readonly received: { readonly traceId: string; readonly spanId: string }[];
}

export function certifiedStore(storage: DurableObjectStorage, options: Options = {}) {
  const world: World = { nowMs: NOW, isDiskFull: false, answer: () => new Response(null), received: [] };
  return inWorld(storage, options, world);
}

function inWorld(storage: DurableObjectStorage, options: Options, world: World) {
  const { maxBytes = 1e9, hasBackend = true } = options;
  const now = () => world.nowMs;
  const sql = { exec: (...call: Parameters<SqlStorage["exec"]>) => exec(storage, world, call) } as SqlStorage;
  const store = new TraceStore(sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: {},
    segmentDelayMs: 5000,
    maxBytes,
    now,
  });
  const exporter = new TraceExport(sql, store, {
    sessionId: SESSION,
    url: hasBackend ? "http://127.0.0.1:1/v1/traces" : undefined,
    headers: {},
    compression: "none",
    timeoutMs: 1000,
    now,
    onDiagnostic: () => {},
    fetch: (async (_url: string, { body }: { body: Uint8Array }) => {
      const response = await world.answer();
      if (response.ok) world.received.push(...spansOf(new TextDecoder().decode(body)));
      return response;
    }) as never,
  });
  const tracerOf = (isSampled: boolean) =>
    new Tracer({
      scope: { name: "test" },
      processor: store,
      ...(!isSampled && { sampler: recordDropped(alwaysOff) }),
    });
  const fold = () => store.fold((id) => exporter.isSettled(id), hasBackend);
  return {
    world,
    store,
    exporter,
    fold,
    begin: (name: string, parent?: ReadableSpan["context"], isSampled = true) =>
      tracerOf(isSampled).startSpan(name, { parent, attributes: { "valet.session.id": SESSION } }),
    /** Sends all there is, to a backend that answers so. */
    send: async (status = 200, body: object | Uint8Array<ArrayBuffer> | null = null) => {
      world.answer = () => answerOf(status, body);
      fold();
      exporter.tryAgain();
      await exporter.start();
    },
    /** Lets the time pass until the export is due, and runs it. */
    sendWhenDue: async () => {
      fold();
      world.nowMs = Math.max(world.nowMs, exporter.dueAtMs() ?? world.nowMs);
      await exporter.start();
    },
    pass: (ms: number) => {
      world.nowMs += ms;
    },
    certificate: (traceId: string) => {
      const position = exporter.position();
      const certificate = store.certificates.of(traceId, position);
      expect(store.certificates.stateOf(traceId, position)).toBe(certificate?.state);
      return certificate;
    },
    /** Checks that the backend has exactly the spans that it has acknowledged. @returns the certificate */
    agreed: (traceId: string) => {
      const certificate = store.certificates.of(traceId, exporter.position(), true);
      const { acknowledged = [], others = [] } = certificate?.spanIds ?? {};
      const there = world.received.filter((span) => span.traceId === traceId).map(({ spanId }) => spanId);
      expect(new Set(acknowledged)).toEqual(new Set(there));
      expect(acknowledged.length + others.length).toBe(certificate?.known);
      return certificate;
    },
    /** Returns the object as it is after an eviction: with what it has stored. */
    evicted: () => inWorld(storage, options, world),
  };
}

function exec({ sql }: DurableObjectStorage, { isDiskFull }: World, call: Parameters<SqlStorage["exec"]>) {
  if (isDiskFull && !/^\s*(?:SELECT|WITH)\b/i.test(call[0])) throw new Error("database or disk is full: SQLITE_FULL");
  return sql.exec(...call);
}

function answerOf(status: number, body: object | Uint8Array<ArrayBuffer> | null): Response {
  if (body instanceof Uint8Array)
    return new Response(body, { status, headers: { "content-type": "application/x-protobuf" } });
  return new Response(body === null ? null : JSON.stringify(body), { status });
}

/** Returns open spans of one trace, as a runner announces them. */
export function openSpans(count: number): OpenSpan[] {
  const started: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "runner" },
    processor: { onStart: (span) => started.push(span), onEnd: () => {} },
  });
  const attributes = { "valet.session.id": SESSION };
  const root = tracer.startSpan("valet.turn", { attributes });
  for (let i = 1; i < count; i++) tracer.startSpan("chat", { parent: root, attributes });
  return started.map((span) => parseOpenSpan(serialiseSpan(span)) as OpenSpan);
}

/** Returns a span frame of a runner. */
export const frame = (seq: number, otlp: string, more = {}) => ({ instanceId: "run_1", seq, otlp, ...more });
