// The certificate of a trace: it accounts for each span that the session has heard of, whatever became of it.
import {
  alwaysOff,
  type DropReason,
  encodeTraces,
  type OpenSpan,
  parseOpenSpan,
  type ReadableSpan,
  recordDropped,
  serialiseSpan,
  Tracer,
} from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { makeFrame, makeSpans, SESSION, spansOf } from "../../../test/otlp.ts";
import { TraceExport } from "./trace-export.ts";
import { TraceStore } from "./trace-store.ts";

/** The spans of tests have the real time. */
const NOW = Date.now();

/** A session's store and its export to a backend that the test answers for. */
function setUp(storage: DurableObjectStorage, { maxBytes = 1e9, hasBackend = true } = {}) {
  let answer = () => new Response(null, { status: 200 });
  let now = NOW;
  const received: string[] = [];
  const store = new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: {},
    segmentDelayMs: 5000,
    maxBytes,
    now: () => now,
  });
  const exporter = new TraceExport(storage.sql, store, {
    sessionId: SESSION,
    url: hasBackend ? "http://127.0.0.1:1/v1/traces" : undefined,
    headers: {},
    compression: "none",
    timeoutMs: 1000,
    now: () => now,
    onDiagnostic: () => {},
    fetch: (async (_url: string, { body }: { body: Uint8Array }) => {
      const response = answer();
      if (response.ok) received.push(...spansOf(new TextDecoder().decode(body)).map(({ spanId }) => spanId));
      return response;
    }) as never,
  });
  const tracerOf = (isSampled: boolean) =>
    new Tracer({
      scope: { name: "test" },
      processor: store,
      ...(!isSampled && { sampler: recordDropped(alwaysOff) }),
    });
  return {
    store,
    exporter,
    received,
    begin: (name: string, parent?: ReadableSpan["context"], isSampled = true) =>
      tracerOf(isSampled).startSpan(name, { parent, attributes: { "valet.session.id": SESSION } }),
    fold: () => store.fold((id) => exporter.isSettled(id), hasBackend),
    send: async (status = 200, body: object | null = null) => {
      answer = () => new Response(body === null ? null : JSON.stringify(body), { status });
      store.fold((id) => exporter.isSettled(id), hasBackend);
      exporter.tryAgain();
      await exporter.start();
    },
    pass: (ms: number) => (now += ms),
    certificate: (traceId: string) => {
      const position = exporter.position();
      const certificate = store.certificates.of(traceId, position);
      expect(store.certificates.stateOf(traceId, position)).toBe(certificate?.state);
      return certificate;
    },
  };
}

/** Returns open spans of one trace, as a runner announces them. */
function openSpans(count: number): OpenSpan[] {
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

const frame = (seq: number, otlp: string, more = {}) => ({ instanceId: "run_1", seq, otlp, ...more });

describe("a trace is", () => {
  test("pending while spans are open or wait, and complete once the backend has acknowledged all", () =>
    inStorage(async (storage) => {
      const { begin, send, certificate, received } = setUp(storage);
      const root = begin("valet.prompt");
      const { traceId } = root.context;
      begin("valet.queue.wait", root.context).end();
      expect(certificate(traceId)).toMatchObject({ state: "pending", known: 2, open: 1, ended: 1 });
      root.end();
      expect(certificate(traceId)).toMatchObject({
        state: "pending",
        open: 0,
        export: { waiting: 2, acknowledged: 0 },
      });
      await send(503);
      expect(certificate(traceId)).toMatchObject({ state: "pending", export: { waiting: 2, reason: "HTTP 503" } });
      await send(200);
      expect(certificate(traceId)).toMatchObject({
        state: "complete",
        sentence: "The backend has acknowledged every span that is to be sent: 2.",
        known: 2,
        ended: 2,
        sampled: 2,
        export: { waiting: 0, acknowledged: 2, reason: null },
      });
      expect(new Set(received).size).toBe(2);
    }));

  test("complete without a backend once its spans are stored, and says so", () =>
    inStorage((storage) => {
      const { begin, certificate } = setUp(storage, { hasBackend: false });
      const span = begin("valet.prompt");
      span.end();
      expect(certificate(span.context.traceId)).toMatchObject({
        state: "complete",
        export: null,
        sentence: "Every span has ended and is stored: 1. No backend is configured.",
      });
    }));

  test("not sampled if none of its spans is", () =>
    inStorage(async (storage) => {
      const { begin, send, certificate } = setUp(storage);
      const span = begin("valet.prompt", undefined, false);
      span.end();
      await send(200);
      expect(certificate(span.context.traceId)).toMatchObject({ state: "not_sampled", unsampled: 1, sampled: 0 });
    }));

  test.each([[400], [422]])("incomplete, with the ids, once the backend refuses a batch with %i", (status) =>
    inStorage(async (storage) => {
      const { begin, send, certificate } = setUp(storage);
      const span = begin("valet.prompt");
      span.end();
      await send(status);
      const { traceId, spanId } = span.context;
      expect(certificate(traceId)).toMatchObject({
        state: "incomplete",
        dropped: [{ reason: "not_retryable", spans: 1 }],
        missing: [spanId],
        export: { acknowledged: 0, waiting: 0 },
      });
    }),
  );

  test("incomplete after a partial success of a request of its own, undetermined of one with others", () =>
    inStorage(async (storage) => {
      const { begin, send, certificate } = setUp(storage);
      const alone = begin("valet.prompt");
      begin("valet.queue.wait", alone.context).end();
      alone.end();
      await send(200, { partialSuccess: { rejectedSpans: "1" } });
      expect(certificate(alone.context.traceId)).toMatchObject({
        state: "incomplete",
        rejected: 1,
        missing: [],
        export: { acknowledged: 1 },
      });
      // The report of the drop must not share the next request.
      await send(200);
      const [one, other] = [begin("valet.prompt"), begin("valet.prompt")];
      one.end();
      other.end();
      await send(200, { partialSuccess: { rejectedSpans: 1 } });
      for (const { traceId } of [one.context, other.context])
        expect(certificate(traceId)).toMatchObject({ state: "undetermined", rejected: 0, rejectedWithOthers: 1 });
      await send(200);
      const all = begin("valet.prompt");
      all.end();
      await send(200, { partialSuccess: { rejectedSpans: 1 } });
      expect(certificate(all.context.traceId)).toMatchObject({
        state: "incomplete",
        dropped: [{ reason: "rejected", spans: 1 }],
        missing: [all.context.spanId],
      });
    }));
});

describe("a runner's spans", () => {
  test("that were open when it was killed are sealed, with the cause and since when nothing is known", () =>
    inStorage((storage) => {
      const { store, certificate, pass } = setUp(storage);
      const open = openSpans(2);
      const traceId = open[0]?.context.traceId as string;
      const spans = open.map((span) => serialiseSpan(span as unknown as ReadableSpan));
      store.acceptFrames([frame(1, makeFrame(), { open: spans })]);
      expect(certificate(traceId)).toMatchObject({ state: "pending", known: 2, open: 2 });
      pass(4000);
      store.touch("run_1");
      store.seal("run_1", "runner_lost");
      const sealed = certificate(traceId);
      expect(sealed).toMatchObject({ known: 2, ended: 2, open: 0, lastFrameAt: new Date(NOW + 4000).toISOString() });
      // A ping after it says nothing of what has begun since.
      expect(sealed?.sealed).toEqual([{ cause: "runner_lost", spans: 2, unseenAfter: new Date(NOW).toISOString() }]);
    }));

  test("that end after they were sealed are late, and nothing is lost", () =>
    inStorage(async (storage) => {
      const { store, certificate, send } = setUp(storage);
      const [ended] = makeSpans({});
      const context = ended?.context as ReadableSpan["context"];
      const text = serialiseSpan(ended as ReadableSpan);
      store.acceptFrames([frame(1, makeFrame(), { open: [text] })]);
      store.seal("run_1", "runner_lost");
      for (const seq of [2, 3]) store.acceptFrames([frame(seq, encodeTraces({}, [ended as ReadableSpan]))]);
      await send(200);
      expect(certificate(context.traceId)).toMatchObject({ state: "complete", late: 1, known: 1, repeated: 0 });
    }));

  test.each<[string, string, DropReason]>([
    ["cannot be read", "no JSON", "invalid"],
    ["is too large", "x".repeat(600_000), "too_large"],
    ["lacks one of them", makeFrame(), "invalid"],
  ])("whose frame %s are known by the ids beside it", (what, otlp, reason) =>
    inStorage(async (storage) => {
      const { store, certificate, send } = setUp(storage);
      const open = openSpans(2);
      const [{ traceId, spanId }] = open.map(({ context }) => context) as [ReadableSpan["context"]];
      const other = open[1]?.context.spanId as string;
      const spans = open.map((span) => serialiseSpan(span as unknown as ReadableSpan));
      store.acceptFrames([frame(1, makeFrame(), { open: spans })]);
      const text = what === "lacks one of them" ? broken(otlp, traceId, [spanId, other]) : otlp;
      store.acceptFrames([frame(2, text, { ids: [[traceId, spanId + other]] })]);
      await send(200);
      expect(certificate(traceId)).toMatchObject({
        state: "incomplete",
        known: 2,
        open: 0,
        dropped: [{ reason, spans: 2 }],
      });
      expect(new Set(certificate(traceId)?.missing)).toEqual(new Set([spanId, other]));
    }),
  );

  test("whose unreadable frame has no ids make the traces of that time undetermined", () =>
    inStorage(async (storage) => {
      const { store, begin, certificate, send, pass } = setUp(storage);
      const span = begin("valet.prompt");
      // Later than the real time at which the span began, and less than a minute after its end.
      pass(30_000);
      store.acceptFrames([frame(1, "no JSON")]);
      span.end();
      await send(200);
      expect(certificate(span.context.traceId)).toMatchObject({ state: "undetermined", unnamed: 1 });
    }));

  test("that the runner has lost itself are lost, unless they arrive after all", () =>
    inStorage(async (storage) => {
      const { store, begin, certificate, send } = setUp(storage);
      const root = begin("valet.prompt");
      root.end();
      const [lost, found] = makeSpans({ parent: root.context }, { parent: root.context });
      const { traceId } = root.context;
      const ids = [lost, found].map((each) => each?.context.spanId).join("");
      store.acceptFrames([frame(1, makeFrame(), { lost: [{ reason: "queue_full", ids: [[traceId, ids]] }] })]);
      store.acceptFrames([frame(2, encodeTraces({}, [found as ReadableSpan]))]);
      await send(200);
      const { state, dropped, missing } = certificate(traceId) ?? {};
      expect({ state, dropped, missing }).toEqual({
        state: "incomplete",
        dropped: [{ reason: "queue_full", spans: 1 }],
        missing: [lost?.context.spanId],
      });
    }));
});

describe("the certificate outlives the segments", () => {
  test("of which it keeps the counts", () =>
    inStorage(async (storage) => {
      const { store, begin, certificate, send } = setUp(storage, { maxBytes: 1 });
      const span = begin("valet.prompt");
      span.end();
      await send(200);
      begin("another").end();
      await send(200);
      const { traceId } = span.context;
      expect(store.reader.trace(traceId)).toBeUndefined();
      expect(certificate(traceId)).toMatchObject({
        state: "complete",
        known: 1,
        ended: 1,
        removed: 1,
        export: { acknowledged: 1 },
      });
    }));

  test("and lists what was deleted before it was sent", () =>
    inStorage(async (storage) => {
      const { begin, certificate, fold } = setUp(storage, { maxBytes: 1 });
      const span = begin("valet.prompt");
      span.end();
      fold();
      begin("another").end();
      fold();
      const { traceId, spanId } = span.context;
      expect(certificate(traceId)).toMatchObject({
        state: "incomplete",
        known: 1,
        removed: 0,
        dropped: [{ reason: "queue_full", spans: 1 }],
        missing: [spanId],
      });
    }));
});

test("adopted spans are counted", () =>
  inStorage(async (storage) => {
    const { store, certificate, send } = setUp(storage);
    const [span] = makeSpans({ attributes: { "valet.adopted.trace_id": "a".repeat(32) } });
    store.acceptFrames([frame(1, encodeTraces({}, [span as ReadableSpan]))]);
    const traceId = span?.context.traceId as string;
    expect(certificate(traceId)).toMatchObject({ adopted: 1 });
    await send(200);
    expect(certificate(traceId)).toMatchObject({ adopted: 1, state: "complete" });
  }));

test("a trace that the session has never heard of has no certificate", () =>
  inStorage((storage) => {
    expect(setUp(storage).certificate("f".repeat(32))).toBeUndefined();
  }));

/** Returns a request in which spans of the trace have no end. */
function broken(otlp: string, traceId: string, spanIds: readonly string[]): string {
  const request = JSON.parse(otlp);
  const spans = spanIds.map((spanId) => ({ traceId, spanId, name: "chat", startTimeUnixNano: "1" }));
  request.resourceSpans = [{ scopeSpans: [{ spans }] }];
  return JSON.stringify(request);
}
