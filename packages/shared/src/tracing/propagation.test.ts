import { describe, expect, test } from "vitest";
import { INVALID_CONTEXT, type SpanContext } from "./context.ts";
import {
  contextHeaders,
  type EnvironmentRecord,
  extractFromEnvironment,
  extractFromHeaders,
  type HeaderRecord,
  injectIntoEnvironment,
  injectIntoHeaders,
} from "./propagation.ts";
import { SpanKind } from "./readable-span.ts";
import { alwaysOff, type Sampler } from "./sampler.ts";
import { Tracer } from "./tracer.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`;
const OTHER_TRACEPARENT = `00-${TRACE_ID}-00f067aa0ba902b7-01`;
const CONTEXT: SpanContext = { traceId: TRACE_ID, spanId: SPAN_ID, traceFlags: 1, traceState: "foo=1", isRemote: true };

/** The same fields in every carrier that a request may come in. */
const CARRIERS: [name: string, make: (fields: [name: string, value: string][]) => Headers | HeaderRecord][] = [
  ["Headers", (fields) => new Headers(fields)],
  [
    "a record of lists, as Node's headersDistinct",
    (fields) => {
      const record: Record<string, string[]> = {};
      for (const [name, value] of fields) record[name] = [...(record[name] ?? []), value];
      return record;
    },
  ],
  [
    "a record of joined fields, as Node's headers",
    (fields) => {
      const record: Record<string, string> = {};
      for (const [name, value] of fields)
        record[name] = record[name] === undefined ? value : `${record[name]}, ${value}`;
      return record;
    },
  ],
];

describe.each(CARRIERS)("extractFromHeaders, %s", (_name, carrier) => {
  test("reads traceparent and tracestate", () => {
    expect(
      extractFromHeaders(
        carrier([
          ["traceparent", TRACEPARENT],
          ["tracestate", "foo=1"],
        ]),
      ),
    ).toEqual(CONTEXT);
    expect(extractFromHeaders(carrier([["traceparent", TRACEPARENT]]))).toEqual({ ...CONTEXT, traceState: "" });
  });

  test("names match in any case, and only completely", () => {
    for (const name of ["TRACEPARENT", "TraceParent", "tRACEpARENT"]) {
      expect(extractFromHeaders(carrier([[name, TRACEPARENT]]))?.traceId).toBe(TRACE_ID);
    }
    for (const name of ["trace-parent", "trace.parent", "x-traceparent"]) {
      expect(extractFromHeaders(carrier([[name, TRACEPARENT]]))).toBeUndefined();
    }
  });

  test("white space around a field is not part of it", () => {
    expect(extractFromHeaders(carrier([["traceparent", `\t ${TRACEPARENT} \t`]]))?.spanId).toBe(SPAN_ID);
  });

  test("without a traceparent there is no context", () => {
    expect(extractFromHeaders(carrier([]))).toBeUndefined();
    expect(extractFromHeaders(carrier([["tracestate", "foo=1"]]))).toBeUndefined();
    expect(extractFromHeaders(carrier([["traceparent", ""]]))).toBeUndefined();
  });

  test("R28 with an invalid traceparent, tracestate is ignored, too", () => {
    const fields: [string, string][] = [
      ["traceparent", `ff-${TRACE_ID}-${SPAN_ID}-01`],
      ["tracestate", "foo=1"],
    ];
    expect(extractFromHeaders(carrier(fields))).toBeUndefined();
  });

  test.each(["foo", "FOO=1", "foo=1,=", "foo=bar=baz", "foo.bar=1"])(
    "R28 the invalid tracestate %j never affects traceparent",
    (tracestate) => {
      const fields: [string, string][] = [
        ["traceparent", TRACEPARENT],
        ["tracestate", tracestate],
      ];
      expect(extractFromHeaders(carrier(fields))).toEqual({ ...CONTEXT, traceState: "" });
    },
  );

  test.each([
    ["of different spans", TRACEPARENT, OTHER_TRACEPARENT],
    ["that are equal", TRACEPARENT, TRACEPARENT],
    ["one of them empty", "", TRACEPARENT],
    ["of a higher version with a suffix", `cc-${TRACE_ID}-${SPAN_ID}-01-x`, TRACEPARENT],
  ])("R28 several traceparent headers are none: %s", (_case, first, second) => {
    const fields: [string, string][] = [
      ["traceparent", first],
      ["traceparent", second],
      ["tracestate", "foo=1"],
    ];
    expect(extractFromHeaders(carrier(fields))).toBeUndefined();
  });

  test("several tracestate headers are one list, in order, empty ones allowed", () => {
    const fields: [string, string][] = [
      ["traceparent", TRACEPARENT],
      ["tracestate", "foo=1,bar=2"],
      ["tracestate", ""],
      ["tracestate", "baz=3"],
    ];
    expect(extractFromHeaders(carrier(fields))?.traceState).toBe("foo=1,bar=2,baz=3");
  });
});

describe("extractFromHeaders, odd carriers", () => {
  test("R28 names that differ only in case are the same header", () => {
    expect(extractFromHeaders({ traceparent: TRACEPARENT, Traceparent: TRACEPARENT })).toBeUndefined();
    expect(
      extractFromHeaders({ traceparent: TRACEPARENT, tracestate: "foo=1", TraceState: ["bar=2"] })?.traceState,
    ).toBe("foo=1,bar=2");
  });

  test("a missing field and an empty list are no header", () => {
    expect(extractFromHeaders({ traceparent: undefined, TRACEPARENT, Traceparent: [] })?.traceId).toBe(TRACE_ID);
  });

  test("a header that is named like a method of Headers is a header", () => {
    expect(extractFromHeaders({ traceparent: TRACEPARENT, get: "1", set: "2" })?.traceId).toBe(TRACE_ID);
  });

  test("the Headers of another implementation are read by their methods", () => {
    class OtherHeaders {
      readonly #headers = new Headers({ traceparent: TRACEPARENT });
      get(name: string): string | null {
        return this.#headers.get(name);
      }
    }
    expect(extractFromHeaders(new OtherHeaders() as unknown as Headers)?.traceId).toBe(TRACE_ID);
  });
});

describe("extractFromEnvironment", () => {
  test("reads TRACEPARENT and TRACESTATE", () => {
    expect(extractFromEnvironment({ TRACEPARENT, TRACESTATE: "foo=1" })).toEqual(CONTEXT);
    expect(extractFromEnvironment({ TRACEPARENT })?.traceState).toBe("");
  });

  test("there is no context without a valid TRACEPARENT", () => {
    expect(extractFromEnvironment({})).toBeUndefined();
    expect(extractFromEnvironment({ TRACEPARENT: "", TRACESTATE: "foo=1" })).toBeUndefined();
    expect(extractFromEnvironment({ traceparent: TRACEPARENT })).toBeUndefined();
  });
});

describe("injection", () => {
  test("a context becomes two headers, without an empty tracestate", () => {
    expect(contextHeaders(CONTEXT)).toEqual({ traceparent: TRACEPARENT, tracestate: "foo=1" });
    expect(contextHeaders({ ...CONTEXT, traceState: "" })).toEqual({ traceparent: TRACEPARENT });
  });

  test("an invalid context is never propagated", () => {
    expect(contextHeaders(INVALID_CONTEXT)).toEqual({});
    expect(contextHeaders({ ...CONTEXT, spanId: "B7AD6B7169203331" })).toEqual({});
  });

  test("replaces another context in a record, whatever the case of its names", () => {
    const record: HeaderRecord = { TraceParent: OTHER_TRACEPARENT, TRACESTATE: ["old=1"], accept: "*/*" };
    injectIntoHeaders(CONTEXT, record);
    expect(record).toEqual({ accept: "*/*", traceparent: TRACEPARENT, tracestate: "foo=1" });
    injectIntoHeaders({ ...CONTEXT, traceState: "" }, record);
    expect(record).toEqual({ accept: "*/*", traceparent: TRACEPARENT });
    injectIntoHeaders(INVALID_CONTEXT, record);
    expect(record).toEqual({ accept: "*/*" });
  });

  test("replaces another context in Headers", () => {
    const headers = new Headers({ TraceParent: OTHER_TRACEPARENT, TraceState: "old=1", accept: "*/*" });
    injectIntoHeaders(CONTEXT, headers);
    expect([...headers].sort()).toEqual([
      ["accept", "*/*"],
      ["traceparent", TRACEPARENT],
      ["tracestate", "foo=1"],
    ]);
    injectIntoHeaders(INVALID_CONTEXT, headers);
    expect([...headers]).toEqual([["accept", "*/*"]]);
  });

  test("replaces another context in an environment", () => {
    const env: EnvironmentRecord = { TRACEPARENT: OTHER_TRACEPARENT, TRACESTATE: "old=1", PATH: "/bin" };
    injectIntoEnvironment({ ...CONTEXT, traceState: "" }, env);
    expect(env).toEqual({ TRACEPARENT, PATH: "/bin" });
    injectIntoEnvironment(INVALID_CONTEXT, env);
    expect(env).toEqual({ PATH: "/bin" });
  });
});

describe("through a tracer", () => {
  function tracer(sampler?: Sampler): Tracer {
    return new Tracer({ scope: { name: "test" }, processor: { onStart() {}, onEnd() {} }, sampler });
  }

  /** What goes out of a service that took in `headers`. */
  function passThrough(headers: HeaderRecord, sampler?: Sampler): { traceparent?: string; tracestate?: string } {
    const parent = extractFromHeaders(headers);
    return contextHeaders(tracer(sampler).startSpan("served", { kind: SpanKind.SERVER, parent }).context);
  }

  test.each(["00", "01", "02", "03"])("R27 continuing a trace with flags %s keeps them", (flags) => {
    const sent = passThrough({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-${flags}`, tracestate: "foo=1" });
    expect(sent.traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-${flags}$`));
    expect(sent.traceparent).not.toContain(SPAN_ID);
    expect(sent.tracestate).toBe("foo=1");
  });

  test("R27 a sampler changes the sampled flag alone", () => {
    expect(passThrough({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-03` }, alwaysOff).traceparent).toMatch(/-02$/);
    expect(passThrough({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-01` }, alwaysOff).traceparent).toMatch(/-00$/);
  });

  test("R27 a new random trace id sets the random flag, sampled or not", () => {
    expect(passThrough({}).traceparent).toMatch(/-03$/);
    expect(passThrough({}, alwaysOff).traceparent).toMatch(/-02$/);
  });

  test("R27 a given trace id does not set the random flag", () => {
    const { context } = tracer().startSpan("root", { traceId: TRACE_ID });
    expect(contextHeaders(context).traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-01$`));
  });

  test("R27 unknown bits of the parent are propagated as zero", () => {
    expect(passThrough({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-ff` }).traceparent).toMatch(/-03$/);
    expect(passThrough({ traceparent: `cc-${TRACE_ID}-${SPAN_ID}-fc-x` }).traceparent).toMatch(/^00-.*-00$/);
  });

  test("R28 an invalid traceparent starts a new trace without its tracestate", () => {
    const sent = passThrough({ traceparent: [TRACEPARENT, TRACEPARENT], tracestate: "foo=1" });
    expect(sent.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-03$/);
    expect(sent.traceparent).not.toContain(TRACE_ID);
    expect(sent.tracestate).toBeUndefined();
  });
});
