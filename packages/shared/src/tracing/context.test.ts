import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contexts } from "../../test/w3c-arbitraries.ts";
import {
  checkContext,
  formatTraceparent,
  INVALID_CONTEXT,
  isSampled,
  isValidContext,
  parseTraceparent,
  type SpanContext,
  TraceFlags,
} from "./context.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";
const IDS = `${TRACE_ID}-${SPAN_ID}`;
const ZERO_TRACE_ID = "0".repeat(32);
const ZERO_SPAN_ID = "0".repeat(16);

function withFlags(traceFlags: number): SpanContext {
  return { traceId: TRACE_ID, spanId: SPAN_ID, traceFlags, traceState: "", isRemote: true };
}

describe("parseTraceparent", () => {
  test("reads the ids and flags of a remote context", () => {
    expect(parseTraceparent(`00-${IDS}-01`)).toEqual(withFlags(TraceFlags.SAMPLED));
  });

  test.each([
    ["in the version", `0A-${IDS}-01`],
    ["in the trace id", `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`],
    ["in the span id", `00-${TRACE_ID}-${SPAN_ID.toUpperCase()}-01`],
    ["in the flags", `00-${IDS}-0A`],
  ])("R26 upper-case hex %s is refused", (_where, header) => {
    expect(parseTraceparent(header)).toBeUndefined();
    expect(parseTraceparent(header.toLowerCase())).toBeDefined();
  });

  test("R26 version ff is refused, every other is read", () => {
    expect(parseTraceparent(`ff-${IDS}-01`)).toBeUndefined();
    for (let version = 0; version < 0xff; version++) {
      const header = `${version.toString(16).padStart(2, "0")}-${IDS}-01`;
      expect(parseTraceparent(header)).toEqual(withFlags(TraceFlags.SAMPLED));
    }
  });

  test("R26 all-zero ids are refused, ids with a single other digit are not", () => {
    expect(parseTraceparent(`00-${ZERO_TRACE_ID}-${SPAN_ID}-01`)).toBeUndefined();
    expect(parseTraceparent(`00-${TRACE_ID}-${ZERO_SPAN_ID}-01`)).toBeUndefined();
    expect(parseTraceparent(`00-${ZERO_TRACE_ID.slice(1)}1-${ZERO_SPAN_ID.slice(1)}1-01`)).toBeDefined();
    expect(parseTraceparent(`00-1${ZERO_TRACE_ID.slice(1)}-1${ZERO_SPAN_ID.slice(1)}-01`)).toBeDefined();
  });

  test.each(["-", "-x", ".", "0", " ", "\n"])("R26 version 00 has no suffix, so not %j", (suffix) => {
    expect(parseTraceparent(`00-${IDS}-01${suffix}`)).toBeUndefined();
  });

  test.each(["", "-", "-x", "-what-the-future-will-be-like"])("R26 a higher version may end in %j", (suffix) => {
    expect(parseTraceparent(`01-${IDS}-01${suffix}`)).toEqual(withFlags(TraceFlags.SAMPLED));
  });

  test.each([".x", "0", " ", ",", "\n"])("R26 a higher version may not end in %j", (suffix) => {
    expect(parseTraceparent(`cc-${IDS}-01${suffix}`)).toBeUndefined();
  });

  test("R26 anything shorter than 55 characters is refused", () => {
    for (const version of ["00", "01", "cc"]) {
      const header = `${version}-${IDS}-01`;
      for (let length = 0; length < header.length; length++) {
        expect(parseTraceparent(header.slice(0, length))).toBeUndefined();
      }
    }
  });

  test("R27 the sampled and random flags are read, unknown bits are not, whatever the version", () => {
    for (let bits = 0; bits <= 0xff; bits++) {
      const flags = bits.toString(16).padStart(2, "0");
      expect(parseTraceparent(`00-${IDS}-${flags}`)).toEqual(withFlags(bits % 4));
      expect(parseTraceparent(`01-${IDS}-${flags}-x`)).toEqual(withFlags(bits % 4));
    }
  });

  test("a header of a megabyte is refused at once", () => {
    expect(parseTraceparent("0".repeat(1_000_000))).toBeUndefined();
    expect(parseTraceparent(`00-${IDS}-01${"-".repeat(1_000_000)}`)).toBeUndefined();
  });
});

describe("formatTraceparent", () => {
  test("R26 always emits version 00", () => {
    const context = parseTraceparent(`cc-${IDS}-03-more`) ?? expect.fail("refused");
    expect(formatTraceparent(context)).toBe(`00-${IDS}-03`);
  });

  test("R27 unknown bits are propagated as zero", () => {
    for (let bits = 0; bits <= 0xff; bits++) {
      expect(formatTraceparent(withFlags(bits))).toBe(`00-${IDS}-0${bits % 4}`);
    }
  });
});

describe("contexts", () => {
  test("the sampled flag is a bit, not a number", () => {
    expect([0, 1, 2, 3].map((flags) => isSampled(withFlags(flags)))).toEqual([false, true, false, true]);
  });

  test("a context is valid when both of its ids are", () => {
    expect(isValidContext(withFlags(0))).toBe(true);
    expect(isValidContext({ ...withFlags(0), traceId: ZERO_TRACE_ID })).toBe(false);
    expect(isValidContext({ ...withFlags(0), spanId: ZERO_SPAN_ID })).toBe(false);
    expect(isValidContext({ ...withFlags(0), spanId: TRACE_ID })).toBe(false);
    expect(isValidContext(INVALID_CONTEXT)).toBe(false);
  });
});

describe("checkContext", () => {
  const WHOLE: SpanContext = { ...withFlags(3), traceState: "vendor=1" };

  test("a valid context is copied, without other fields", () => {
    expect(checkContext({ ...WHOLE, extra: 1 })).toStrictEqual(WHOLE);
    expect(checkContext(WHOLE)).not.toBe(WHOLE);
    fc.assert(
      fc.property(contexts, (context) => {
        expect(checkContext(context)).toStrictEqual(context);
      }),
    );
  });

  test.each([
    [undefined],
    [null],
    ["text"],
    [[]],
    [{}],
    [INVALID_CONTEXT],
    [{ ...WHOLE, traceId: "0".repeat(32) }],
    [{ ...WHOLE, traceId: WHOLE.traceId.toUpperCase() }],
    [{ ...WHOLE, traceId: [WHOLE.traceId] }],
    [{ ...WHOLE, spanId: `${WHOLE.spanId}\n` }],
    [{ ...WHOLE, spanId: 1 }],
  ])("%o is no context", (input) => {
    expect(checkContext(input)).toBeUndefined();
  });

  describe("invalid fields beside valid ids are cleared", () => {
    test.each([
      ["traceFlags", 0xff, 3],
      ["traceFlags", 4, 0],
      ["traceFlags", "1", 0],
      ["traceFlags", 1n, 0],
      ["traceFlags", 0.5, 0],
      ["traceFlags", undefined, 0],
      ["traceState", "a=1\r\nx: y", ""],
      ["traceState", { get: () => "" }, ""],
      ["traceState", undefined, ""],
      ["isRemote", 1, false],
      ["isRemote", undefined, false],
    ])("%s %o", (field, value, expected) => {
      expect(checkContext({ ...WHOLE, [field]: value })).toStrictEqual({ ...WHOLE, [field]: expected });
    });
  });
});
