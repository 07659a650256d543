import { describe, expect, test } from "vitest";
import { createRecorder, only, untyped } from "../../test/recorder.ts";
import { INVALID_CONTEXT, isValidContext, type SpanContext } from "./context.ts";
import { contextHeaders } from "./propagation.ts";
import { type ReadableSpan, SpanKind, StatusCode } from "./readable-span.ts";
import { alwaysOff, recordDropped } from "./sampler.ts";
import type { LinkInput } from "./span.ts";
import { Tracer } from "./tracer.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";
const REMOTE: SpanContext = {
  traceId: TRACE_ID,
  spanId: SPAN_ID,
  traceFlags: 3,
  traceState: "vendor=1",
  isRemote: true,
};

describe("parents", () => {
  test("without one a span is the root of a new trace", () => {
    const { tracer, started } = createRecorder();
    const [one, two] = [tracer.startSpan("one"), tracer.startSpan("two")];
    expect(started.map((span) => span.parent)).toEqual([undefined, undefined]);
    for (const { context } of [one, two]) {
      expect(isValidContext(context)).toBe(true);
      expect(context).toMatchObject({ traceState: "", isRemote: false });
    }
    expect(one.context.traceId).not.toBe(two.context.traceId);
  });

  test.each([
    ["a span's context", (span: { context: SpanContext }) => span.context],
    ["a span", (span: { context: SpanContext }) => span],
  ])("%s is a parent", (_name, parentOf) => {
    const { tracer, started } = createRecorder();
    const parent = tracer.startSpan("parent", { parent: REMOTE });
    const child = tracer.startSpan("child", { parent: parentOf(parent) });
    expect(started[1]?.parent).toEqual(parent.context);
    expect(child.context).toMatchObject({ traceId: TRACE_ID, traceState: "vendor=1", isRemote: false });
    expect(child.context.spanId).not.toBe(parent.context.spanId);
  });

  test("a remote context is a parent, and the child is not remote", () => {
    const { tracer, started } = createRecorder();
    const { context } = tracer.startSpan("child", { parent: REMOTE });
    expect(only(started).parent).toEqual(REMOTE);
    expect(context).toEqual({ ...REMOTE, spanId: context.spanId, isRemote: false });
  });

  test("an ended span is still a parent", () => {
    const { tracer, started } = createRecorder();
    const parent = tracer.startSpan("parent");
    parent.end();
    tracer.startSpan("child", { parent });
    expect(started[1]?.parent).toEqual(parent.context);
  });

  test.each([
    ["no span", INVALID_CONTEXT],
    ["null", null],
    ["text", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ["an empty object", {}],
    ["a span without context", { context: undefined }],
    ["upper-case ids", { ...REMOTE, traceId: TRACE_ID.toUpperCase() }],
    ["an id with a quote in it", { ...REMOTE, spanId: `"${SPAN_ID.slice(1)}` }],
    ["an id of zeros", { ...REMOTE, spanId: "0".repeat(16) }],
    ["an id that is a list", { ...REMOTE, traceId: [TRACE_ID] }],
  ])("%s is no parent: the span is a root", (_name, parent) => {
    const { tracer, started } = createRecorder();
    tracer.startSpan("work", { parent: untyped(parent) });
    expect(only(started).parent).toBeUndefined();
    expect(only(started).context.traceId).not.toBe(TRACE_ID);
  });

  test("a parent that changes later changes no span", () => {
    const { tracer, started } = createRecorder();
    const parent = { ...REMOTE };
    tracer.startSpan("work", { parent });
    parent.spanId = "f".repeat(16);
    expect(only(started).parent).toEqual(REMOTE);
  });
});

describe("R27 flags are kept, never forced", () => {
  test.each([0, 1, 2, 3])("a child of %i has the same", (traceFlags) => {
    const { tracer } = createRecorder();
    expect(tracer.startSpan("work", { parent: { ...REMOTE, traceFlags } }).context.traceFlags).toBe(traceFlags);
  });

  test.each([0, 1, 2, 3])("record-only keeps the flags of a child of %i", (traceFlags) => {
    const { tracer, started } = createRecorder({ sampler: recordDropped(alwaysOff) });
    const { context } = tracer.startSpan("work", { parent: { ...REMOTE, traceFlags } });
    expect(context.traceFlags).toBe(traceFlags & 2);
    expect(started).toHaveLength(1);
  });

  test("unknown bits are propagated as zero", () => {
    const { tracer } = createRecorder();
    const { context } = tracer.startSpan("work", { parent: { ...REMOTE, traceFlags: 0xff } });
    expect(context.traceFlags).toBe(3);
  });

  test("a new trace id sets the random flag, a given one does not", () => {
    const { tracer } = createRecorder();
    expect(tracer.startSpan("work").context.traceFlags).toBe(3);
    expect(tracer.startSpan("work", { traceId: TRACE_ID }).context.traceFlags).toBe(1);
    const { tracer: off } = createRecorder({ sampler: alwaysOff });
    expect(off.startSpan("work").context.traceFlags).toBe(2);
  });
});

describe("given ids", () => {
  test("are used for roots, the span id for children, too", () => {
    const { tracer } = createRecorder();
    const ids = { traceId: TRACE_ID, spanId: SPAN_ID };
    expect(tracer.startSpan("work", ids).context).toMatchObject(ids);
    const parent = tracer.startSpan("parent");
    expect(tracer.startSpan("child", { parent, ...ids }).context).toMatchObject({
      traceId: parent.context.traceId,
      spanId: SPAN_ID,
    });
  });

  test.each([
    ["0".repeat(32), "0".repeat(16)],
    ["short", "short"],
    [TRACE_ID.toUpperCase(), "B7AD6B7169203331"],
    [untyped<string>([TRACE_ID]), untyped<string>([SPAN_ID])],
  ])("that are not valid are replaced: %s", (traceId, spanId) => {
    const { tracer } = createRecorder();
    const { context } = tracer.startSpan("work", { traceId, spanId });
    expect(isValidContext(context)).toBe(true);
    expect(context).toMatchObject({ traceId: expect.any(String), traceFlags: 3 });
    expect(context.traceId).not.toBe(traceId);
    expect(context.spanId).not.toBe(spanId);
  });

  test("of children are their own", () => {
    const { tracer } = createRecorder();
    const parent = tracer.startSpan("parent");
    const ids = new Set(Array.from({ length: 1000 }, () => tracer.startSpan("child", { parent }).context.spanId));
    expect(ids.size).toBe(1000);
  });
});

test.each([[0], [6], ["3"], [null], [1.5]])("%o is no kind: the span is internal", (kind) => {
  const { tracer, started } = createRecorder();
  tracer.startSpan("work", { kind: untyped(kind) });
  expect(only(started).kind).toBe(SpanKind.INTERNAL);
});

describe("off", () => {
  /** A tracer that is off, with everything that would betray it if it did something. */
  function createOff() {
    const fail = (): never => expect.fail("a tracer that is off does nothing");
    const ids = { traceId: fail, spanId: fail };
    const processor = { onStart: fail, onEnd: fail };
    const options = { scope: { name: "test" }, clock: fail, sampler: fail, redact: fail, onDiagnostic: fail };
    return new Tracer({ ...options, ids, processor, enabled: false });
  }

  test("every span of a context is the same object with that context", () => {
    const tracer = createOff();
    const [one, two] = [tracer.startSpan("one", { parent: REMOTE }), tracer.startSpan("two", { parent: REMOTE })];
    expect(one).toBe(two);
    expect(one.context).toBe(REMOTE);
    expect(contextHeaders(one.context)).toEqual({
      traceparent: `00-${TRACE_ID}-${SPAN_ID}-03`,
      tracestate: "vendor=1",
    });
  });

  test("a child is its parent: the same object at any depth", () => {
    const tracer = createOff();
    const root = tracer.startSpan("root", { parent: REMOTE });
    const child = tracer.startSpan("child", { parent: root });
    expect(child).toBe(root);
    expect(tracer.startSpan("grandchild", { parent: child.context })).toBe(root);
  });

  test("without a parent every span of every tracer is the same, and nothing is propagated", () => {
    const span = createOff().startSpan("root");
    expect(createOff().startSpan("other", { attributes: { a: 1 } })).toBe(span);
    expect(span.context).toBe(INVALID_CONTEXT);
    expect(contextHeaders(span.context)).toEqual({});
  });

  test("a span of a tracer that is on passes through", () => {
    const { tracer } = createRecorder();
    const parent = tracer.startSpan("parent");
    const span = createOff().startSpan("child", { parent });
    expect(span.context).toBe(parent.context);
    span.end();
    expect(parent.isRecording).toBe(true);
  });

  test("every call does nothing", async () => {
    const tracer = createOff();
    const span = tracer.startSpan("work", { parent: REMOTE, startTime: 1, attributes: { a: 1 }, links: [] });
    expect(span.isRecording).toBe(false);
    span.setAttribute("a", 1);
    span.setAttributes({ a: 1 });
    span.addEvent("event", { a: 1 });
    span.addLink({ context: REMOTE });
    span.setStatus(StatusCode.ERROR, "message");
    span.recordException(new Error("x"));
    span.updateName("name");
    span.end();
    expect(Object.keys(span)).toEqual(["context", "isRecording"]);
    expect(await tracer.withSpan("work", { parent: REMOTE }, (inner) => inner === span)).toBe(true);
    await expect(tracer.withSpan("work", {}, () => Promise.reject(new Error("x")))).rejects.toThrow("x");
  });

  test.each([[null], ["text"], [{ context: null }], [{ context: "text" }], [42]])("%o is no parent", (parent) => {
    expect(contextHeaders(createOff().startSpan("work", { parent: untyped(parent) }).context)).toEqual({});
  });
});

describe("unsampled", () => {
  test("a span has an id of its own and propagates the trace, unsampled", () => {
    const { tracer, started, ended } = createRecorder();
    const parent = { ...REMOTE, traceFlags: 2 };
    const span = tracer.startSpan("work", { parent });
    expect(span.isRecording).toBe(false);
    expect(span.context).toEqual({ ...parent, spanId: span.context.spanId, isRemote: false });
    expect(span.context.spanId).not.toBe(SPAN_ID);
    expect(isValidContext(span.context)).toBe(true);
    const child = tracer.startSpan("child", { parent: span });
    expect(child.context.traceId).toBe(TRACE_ID);
    expect(new Set([SPAN_ID, span.context.spanId, child.context.spanId]).size).toBe(3);
    child.end();
    span.end();
    expect([started, ended]).toEqual([[], []]);
  });

  test("a root does the same with a given id", () => {
    const { tracer } = createRecorder({ sampler: alwaysOff });
    const { context } = tracer.startSpan("work", { traceId: TRACE_ID, spanId: SPAN_ID });
    expect(contextHeaders(context)).toEqual({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-00` });
  });
});

describe("withSpan", () => {
  test("passes the span to the work, ends it afterwards, and returns the result", async () => {
    const { tracer, ended } = createRecorder();
    const result = await tracer.withSpan("work", { attributes: { a: 1 } }, async (span) => {
      await Promise.resolve();
      expect(ended).toEqual([]);
      span.setAttribute("b", 2);
      return 42;
    });
    expect(result).toBe(42);
    expect(only(ended)).toMatchObject({ name: "work", attributes: ["a", 1, "b", 2], statusCode: StatusCode.UNSET });
  });

  test("runs the work at once, even if it is synchronous", async () => {
    const { tracer, ended } = createRecorder();
    let ran = false;
    const result = tracer.withSpan("work", {}, () => {
      ran = true;
      return "done";
    });
    expect(ran).toBe(true);
    expect(await result).toBe("done");
    expect(ended).toHaveLength(1);
  });

  test.each<[string, () => unknown]>([
    ["a rejection", () => Promise.reject(new TypeError("what the patient said"))],
    [
      "an exception",
      () => {
        throw new TypeError("what the patient said");
      },
    ],
  ])("%s is recorded, sets the status and is thrown on", async (_name, work) => {
    const { tracer, ended } = createRecorder();
    await expect(tracer.withSpan("work", {}, work)).rejects.toThrow(new TypeError("what the patient said"));
    const span = only(ended);
    expect(span).toMatchObject({ statusCode: StatusCode.ERROR, statusMessage: "TypeError" });
    expect(span.events).toMatchObject([{ name: "exception" }]);
    expect(JSON.stringify([span.events, span.attributes])).not.toContain("patient");
  });

  test("rethrows the same object, whatever it is", async () => {
    const { tracer, ended } = createRecorder();
    const hostile = Object.defineProperty(new Error("x"), "name", {
      get: () => {
        throw new Error("hostile");
      },
    });
    for (const thrown of [hostile, undefined, null, "text", Object.create(null), {}]) {
      const caught = await tracer.withSpan("work", {}, () => Promise.reject(thrown)).catch((error) => ({ error }));
      expect(caught.error).toBe(thrown);
    }
    expect(ended).toHaveLength(6);
  });

  test("ends a span once even if the work has ended it", async () => {
    const { tracer, ended } = createRecorder();
    await tracer.withSpan("work", {}, (span) => span.end());
    expect(ended).toHaveLength(1);
  });

  test("overlapping spans keep their own parents", async () => {
    const { tracer, started } = createRecorder();
    await Promise.all(
      ["one", "two"].map((name) =>
        tracer.withSpan(name, {}, async (parent) => {
          await Promise.resolve();
          await tracer.withSpan(`child of ${name}`, { parent }, () => Promise.resolve());
        }),
      ),
    );
    const byName = (name: string) => started.find((span) => span.name === name);
    for (const name of ["one", "two"]) {
      expect(byName(`child of ${name}`)?.parent).toEqual(byName(name)?.context);
    }
  });
});

describe("the processor", () => {
  test("is called for starts and ends synchronously and in order", () => {
    const told: string[] = [];
    const tracer = new Tracer({
      scope: { name: "test" },
      processor: {
        onStart: (span) => told.push(`start ${span.name} ${span.attributes.join("=")}`),
        onEnd: (span) => told.push(`end ${span.name} ${span.endTime === undefined ? "open" : "ended"}`),
      },
    });
    const parent = tracer.startSpan("parent", { attributes: { a: 1 } });
    const child = tracer.startSpan("child", { parent });
    child.end();
    parent.end();
    expect(told).toEqual(["start parent a=1", "start child ", "end child ended", "end parent ended"]);
  });

  test("can read later what a span has recorded since its start", () => {
    const { tracer, started } = createRecorder();
    const span = tracer.startSpan("work");
    const seen = only(started) as ReadableSpan;
    span.setAttribute("a", 1);
    expect(seen.attributes).toEqual(["a", 1]);
  });

  test("keeps its own this", () => {
    class CountingProcessor {
      count = 0;
      onStart() {
        this.count++;
      }
      onEnd() {
        this.count++;
      }
    }
    const processor = new CountingProcessor();
    new Tracer({ scope: { name: "test" }, processor }).startSpan("work").end();
    expect(processor.count).toBe(2);
  });
});

test("links that are no list are ignored", () => {
  const { tracer, started } = createRecorder();
  tracer.startSpan("work", { links: untyped<LinkInput[]>(42) });
  tracer.startSpan("work", { links: untyped<LinkInput[]>(null) });
  expect(started).toMatchObject([{ links: [] }, { links: [] }]);
});
