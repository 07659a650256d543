import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRecorder, only } from "../../test/recorder.ts";
import type { SpanContext } from "./context.ts";
import { createRandomIds } from "./ids.ts";
import { SpanKind } from "./readable-span.ts";
import {
  alwaysOff,
  alwaysOn,
  parentBased,
  recordDropped,
  type Sampler,
  type SamplingResult,
  traceIdRatio,
} from "./sampler.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";

function parentOf(traceFlags: number): SpanContext {
  return { traceId: TRACE_ID, spanId: "b7ad6b7169203331", traceFlags, traceState: "", isRemote: true };
}

function decide(sampler: Sampler, parent?: SpanContext, traceId = TRACE_ID): SamplingResult["decision"] {
  return sampler(traceId, parent, "work", SpanKind.INTERNAL, undefined).decision;
}

const traceIds = fc
  .tuple(fc.bigInt({ min: 1n, max: 2n ** 128n - 1n }))
  .map(([value]) => value.toString(16).padStart(32, "0"));
const ratios = fc.double({ min: 0, max: 1, noNaN: true });

test("always on samples and always off drops, whatever the parent", () => {
  for (const parent of [undefined, parentOf(0), parentOf(1)]) {
    expect(decide(alwaysOn, parent)).toBe("sample");
    expect(decide(alwaysOff, parent)).toBe("drop");
  }
});

describe("parent-based", () => {
  test("follows only the parent's sampled flag", () => {
    for (const root of [alwaysOn, alwaysOff]) {
      expect([0, 1, 2, 3].map((flags) => decide(parentBased(root), parentOf(flags)))).toEqual([
        "drop",
        "sample",
        "drop",
        "sample",
      ]);
    }
  });

  test("uses the given sampler for roots", () => {
    expect(decide(parentBased(alwaysOn))).toBe("sample");
    expect(decide(parentBased(alwaysOff))).toBe("drop");
  });
});

describe("R25 trace-id ratio", () => {
  test("decides from the trace id alone: the same id, the same decision", () => {
    fc.assert(
      fc.property(traceIds, ratios, (traceId, ratio) => {
        expect(decide(traceIdRatio(ratio), undefined, traceId)).toBe(decide(traceIdRatio(ratio), parentOf(1), traceId));
      }),
    );
  });

  test("a higher ratio samples all that a lower one does", () => {
    fc.assert(
      fc.property(traceIds, ratios, ratios, (traceId, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        if (decide(traceIdRatio(low), undefined, traceId) === "sample") {
          expect(decide(traceIdRatio(high), undefined, traceId)).toBe("sample");
        }
      }),
    );
  });

  test("decides by the id's right 7 bytes, which are the random ones", () => {
    const half = traceIdRatio(0.5);
    fc.assert(
      fc.property(traceIds, fc.bigInt({ min: 0n, max: 2n ** 72n - 1n }), (traceId, left) => {
        const other = left.toString(16).padStart(18, "0") + traceId.slice(18);
        expect(decide(half, undefined, other)).toBe(decide(half, undefined, traceId));
      }),
    );
    expect(decide(half, undefined, `${"f".repeat(18)}7fffffffffffff`)).toBe("sample");
    expect(decide(half, undefined, `${"0".repeat(17)}180000000000000`)).toBe("drop");
  });

  test("0 samples nothing and 1 everything, even at the ends of the range", () => {
    fc.assert(
      fc.property(fc.oneof(traceIds, fc.constantFrom(`1${"0".repeat(31)}`, "f".repeat(32))), (traceId) => {
        expect(decide(traceIdRatio(0), undefined, traceId)).toBe("drop");
        expect(decide(traceIdRatio(1), undefined, traceId)).toBe("sample");
      }),
    );
  });

  test("samples about its share of random ids", () => {
    const ids = createRandomIds();
    const quarter = traceIdRatio(0.25);
    let sampled = 0;
    for (let i = 0; i < 20_000; i++) if (decide(quarter, undefined, ids.traceId()) === "sample") sampled++;
    // 5,000 are expected; ten standard deviations are 612.
    expect(Math.abs(sampled - 5000)).toBeLessThan(612);
  });

  test("an invalid ratio samples nothing", () => {
    expect(decide(traceIdRatio(Number.NaN))).toBe("drop");
    expect(decide(traceIdRatio(-1))).toBe("drop");
  });
});

describe("record dropped", () => {
  test("records dropped spans and leaves sampled ones unchanged", () => {
    expect(decide(recordDropped(alwaysOff))).toBe("record");
    expect(decide(recordDropped(alwaysOn))).toBe("sample");
    expect(decide(recordDropped(parentBased(alwaysOn)), parentOf(0))).toBe("record");
    expect(decide(recordDropped(() => ({ decision: "record" })))).toBe("record");
  });

  test("keeps the attributes and the tracestate of the inner sampler", () => {
    const below: Sampler = () => ({ decision: "drop", attributes: { a: 1 }, traceState: "k=v" });
    expect(recordDropped(below)(TRACE_ID, undefined, "work", SpanKind.INTERNAL, undefined)).toEqual({
      decision: "record",
      attributes: { a: 1 },
      traceState: "k=v",
    });
  });
});

describe("R21 in the tracer", () => {
  /** What was asked for, in order. */
  function order(decision: SamplingResult["decision"]): string[] {
    const asked: string[] = [];
    const ids = createRandomIds();
    const { tracer } = createRecorder({
      ids: {
        traceId: () => {
          asked.push("trace id");
          return ids.traceId();
        },
        spanId: () => {
          asked.push("span id");
          return ids.spanId();
        },
      },
      sampler: () => {
        asked.push("sampler");
        return { decision };
      },
    });
    tracer.startSpan("work").end();
    return asked;
  }

  test.each(["drop", "record", "sample"] as const)("trace id, then sampler, then span id: %s", (decision) => {
    expect(order(decision)).toEqual(["trace id", "sampler", "span id"]);
  });

  test.each([
    ["drop", false, 0],
    ["record", true, 0],
    ["sample", true, 1],
  ] as const)("%s: recording is %s, the sampled flag %i", (decision, isRecording, flag) => {
    const { tracer, started, ended } = createRecorder({ sampler: () => ({ decision }) });
    const span = tracer.startSpan("work");
    expect(span.isRecording).toBe(isRecording);
    expect(span.context.traceFlags & 1).toBe(flag);
    span.end();
    expect([started.length, ended.length]).toEqual(isRecording ? [1, 1] : [0, 0]);
  });

  test("the sampler receives the span's data", () => {
    const seen: unknown[] = [];
    const { tracer } = createRecorder({
      sampler: (...args) => {
        seen.push(args);
        return { decision: "sample" };
      },
    });
    const parent = parentOf(1);
    tracer.startSpan("work", { kind: SpanKind.CLIENT, parent, attributes: { a: 1 } });
    expect(seen).toEqual([[TRACE_ID, parent, "work", SpanKind.CLIENT, { a: 1 }]]);
  });

  test("the sampler's attributes are added to the span's", () => {
    const { tracer, ended } = createRecorder({
      sampler: () => ({ decision: "sample", attributes: { "sampler.ratio": 1 } }),
    });
    tracer.startSpan("work", { attributes: { a: 1 } }).end();
    expect(only(ended).attributes).toEqual(["a", 1, "sampler.ratio", 1]);
  });

  test.each([
    [undefined, "vendor=1"],
    ["", ""],
    ["other=2", "other=2"],
  ])("a sampler's tracestate %o turns the parent's into: %o", (traceState, expected) => {
    const result = { decision: "sample", ...(traceState === undefined ? {} : { traceState }) } as const;
    const { tracer } = createRecorder({ sampler: () => result });
    const parent = { ...parentOf(1), traceState: "vendor=1" };
    expect(tracer.startSpan("work", { parent }).context.traceState).toBe(expected);
  });

  test("a sampler that throws, or returns nothing, records nothing and is reported", () => {
    const samplers: Sampler[] = [
      () => {
        throw new Error("no decision");
      },
      (() => undefined) as unknown as Sampler,
    ];
    for (const sampler of samplers) {
      const { tracer, started, diagnostics } = createRecorder({ sampler });
      const parent = parentOf(3);
      const span = tracer.startSpan("work", { parent });
      expect(span.isRecording).toBe(false);
      expect(span.context).toEqual(parent);
      expect(started).toEqual([]);
      expect(diagnostics).toMatchObject([{ type: "callback_error", error: expect.any(Error) }]);
    }
  });
});
