// The certificate of a trace: it accounts for each span that the session has heard of, whatever became of it.
import { type DropReason, encodeTraces, type ReadableSpan, serialiseSpan } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { certifiedStore, frame, NOW, openSpans } from "../../../test/certified-store.ts";
import { inStorage } from "../../../test/in-storage.ts";
import { makeFrame, makeSpans } from "../../../test/otlp.ts";

describe("a trace is", () => {
  test("pending while spans are open or wait, and complete once the backend has acknowledged all", () =>
    inStorage(async (storage) => {
      const { begin, send, certificate, world } = certifiedStore(storage);
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
      expect(new Set(world.received.map(({ spanId }) => spanId)).size).toBe(2);
    }));

  test("complete without a backend once its spans are stored, and says so", () =>
    inStorage((storage) => {
      const { begin, certificate } = certifiedStore(storage, { hasBackend: false });
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
      const { begin, send, certificate } = certifiedStore(storage);
      const span = begin("valet.prompt", undefined, false);
      span.end();
      await send(200);
      expect(certificate(span.context.traceId)).toMatchObject({ state: "not_sampled", unsampled: 1, sampled: 0 });
    }));

  test.each([[400], [422]])("incomplete, with the ids, once the backend refuses a batch with %i", (status) =>
    inStorage(async (storage) => {
      const { begin, send, certificate } = certifiedStore(storage);
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
      const { begin, send, certificate } = certifiedStore(storage);
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

describe("a partial success", () => {
  /** Ends a trace of two spans, and returns its certificate after this answer. */
  const certificateAfter = (answer: object | Uint8Array<ArrayBuffer>) =>
    inStorage(async (storage) => {
      const { begin, send, certificate } = certifiedStore(storage);
      const root = begin("valet.prompt");
      begin("valet.queue.wait", root.context).end();
      root.end();
      await send(200, answer);
      return certificate(root.context.traceId);
    });
  const json = (rejectedSpans: unknown, errorMessage?: string) => ({ partialSuccess: { rejectedSpans, errorMessage } });
  /** Of an `ExportTraceServiceResponse`: the field 1, in which the field 1 is the count, and 2 the message. */
  const protobuf = (count: readonly number[], message = "") => {
    const text = new TextEncoder().encode(message);
    const partial = [0x08, ...count, ...(message === "" ? [] : [0x12, text.length, ...text])];
    return Uint8Array.from([0x0a, partial.length, ...partial]);
  };
  const minus = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

  test.each<[string, object | Uint8Array<ArrayBuffer>]>([
    ["as a number", json(1)],
    ["as text, with a message", json("1", "too old")],
    ["with an empty message", json(1, "")],
    ["in protobuf", protobuf([1])],
    ["in protobuf, with a message", protobuf([1], "too old")],
  ])("of one span (%s) makes the trace incomplete", async (_how, answer) => {
    const expected = { state: "incomplete", rejected: 1, missing: [], export: { acknowledged: 1 } };
    expect(await certificateAfter(answer)).toMatchObject(expected);
  });

  test.each<[string, object | Uint8Array<ArrayBuffer>]>([
    ["as many", json(2)],
    ["more", json("7")],
    ["more than numbers can say", json("9223372036854775807")],
    ["more, in protobuf", protobuf([0xac, 0x02])],
  ])("of %s spans than were sent loses all of them", async (_how, answer) => {
    const expected = { state: "incomplete", known: 2, dropped: [{ reason: "rejected", spans: 2 }], rejected: 0 };
    expect(await certificateAfter(answer)).toMatchObject({ ...expected, export: { acknowledged: 0, waiting: 0 } });
  });

  test.each<[string, object | Uint8Array<ArrayBuffer>]>([
    ["none", json(0, "use v2")],
    ["none, in protobuf", protobuf([0], "use v2")],
  ])("of %s loses nothing", async (_how, answer) => {
    expect(await certificateAfter(answer)).toMatchObject({
      state: "complete",
      rejected: 0,
      export: { acknowledged: 2 },
    });
  });

  test.each<[string, object | Uint8Array<ArrayBuffer>]>([
    ["less than none", json(-1)],
    ["less than none, in protobuf", protobuf(minus)],
    ["a part", json(1.5)],
    ["many", json("many", "too old")],
  ])("of %s has no count: whether all have arrived is not known", async (_what, answer) => {
    expect(await certificateAfter(answer)).toMatchObject({
      state: "undetermined",
      doubtful: 2,
      rejected: 0,
      export: { acknowledged: 2 },
      sentence: expect.stringContaining("2 spans with an answer that could not be read"),
    });
  });

  test("that is cut off says nothing: whether all have arrived is not known", () =>
    inStorage(async (storage) => {
      const { world, begin, fold, exporter, certificate } = certifiedStore(storage);
      const span = begin("valet.prompt");
      span.end();
      fold();
      exporter.tryAgain();
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.error(new TypeError("lost")),
      });
      world.answer = () => new Response(body);
      await exporter.start();
      expect(certificate(span.context.traceId)).toMatchObject({ state: "undetermined", doubtful: 1 });
    }));
});

describe("a runner's spans", () => {
  test("that were open when it was killed are sealed, with the cause and since when nothing is known", () =>
    inStorage((storage) => {
      const { store, certificate, pass } = certifiedStore(storage);
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
      const { store, certificate, send } = certifiedStore(storage);
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
      const { store, certificate, send } = certifiedStore(storage);
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
      const { store, begin, certificate, send, pass } = certifiedStore(storage);
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
      const { store, begin, certificate, send } = certifiedStore(storage);
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
      const { store, begin, certificate, send } = certifiedStore(storage, { maxBytes: 1 });
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
      const { begin, certificate, fold } = certifiedStore(storage, { maxBytes: 1 });
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
    const { store, certificate, send } = certifiedStore(storage);
    const [span] = makeSpans({ attributes: { "valet.adopted.trace_id": "a".repeat(32) } });
    store.acceptFrames([frame(1, encodeTraces({}, [span as ReadableSpan]))]);
    const traceId = span?.context.traceId as string;
    expect(certificate(traceId)).toMatchObject({ adopted: 1 });
    await send(200);
    expect(certificate(traceId)).toMatchObject({ adopted: 1, state: "complete" });
  }));

test("a trace that the session has never heard of has no certificate", () =>
  inStorage((storage) => {
    expect(certifiedStore(storage).certificate("f".repeat(32))).toBeUndefined();
  }));

/** Returns a request in which spans of the trace have no end. */
function broken(otlp: string, traceId: string, spanIds: readonly string[]): string {
  const request = JSON.parse(otlp);
  const spans = spanIds.map((spanId) => ({ traceId, spanId, name: "chat", startTimeUnixNano: "1" }));
  request.resourceSpans = [{ scopeSpans: [{ spans }] }];
  return JSON.stringify(request);
}
