import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRecorder, only, untyped } from "../../test/recorder.ts";
import { spans as anySpans } from "../../test/span-arbitraries.ts";
import type { Attributes, AttributeValue } from "./attributes.ts";
import type { SpanContext } from "./context.ts";
import { parseOpenSpan, serialiseSpan } from "./open-span.ts";
import { encodeResource, encodeScope, encodeSpan as encodeSpanText, encodeTraces } from "./otlp.ts";
import type { OpenSpan } from "./readable-span.ts";
import { type ReadableSpan, type Scope, SpanKind, StatusCode } from "./readable-span.ts";
import { alwaysOff, recordDropped } from "./sampler.ts";
import type { StartOptions } from "./tracer.ts";

const RESOURCE = { "service.name": "test" };
const OTHER: SpanContext = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: 1,
  traceState: "",
  isRemote: false,
};

/** One encoded span, as the text holds it. */
function encodeSpan(options: StartOptions = {}, act = (_span: ReturnType<typeof start>["span"]) => {}) {
  const { span, started } = start(options);
  act(span);
  return JSON.parse(encodeTraces(RESOURCE, started)).resourceSpans[0].scopeSpans[0].spans[0];
}

function start(options: StartOptions) {
  const { tracer, started } = createRecorder();
  return { span: tracer.startSpan("work", options), started };
}

function encodeAttributes(attributes: Attributes): unknown {
  return encodeSpan({ attributes }).attributes;
}

/** The text of one value, apart from its key. */
function encodeValue(value: AttributeValue): string {
  const { started } = start({ attributes: { key: value } });
  const text = encodeTraces(RESOURCE, started);
  return /"attributes":\[\{"key":"key","value":(.*)\}\],"status"/.exec(text)?.[1] ?? expect.fail(text);
}

test("R1 a whole span: keys in lower camel case, ids in lower-case hex, enums as integers", () => {
  const { tracer, ended } = createRecorder({
    scope: { name: "scope", version: "1.2.3" },
    limits: { attributes: 1, events: 1, links: 1, attributesPerEvent: 1, attributesPerLink: 1 },
  });
  const span = tracer.startSpan("work", {
    parent: { ...OTHER, traceState: "vendor=1", isRemote: true },
    spanId: "00f067aa0ba902b7",
    kind: SpanKind.CLIENT,
    startTime: 1_700_000_000_123_456_789n,
    attributes: { a: 1, b: 2 },
    links: [{ context: { ...OTHER, traceState: "other=2" }, attributes: { a: 1, b: 2 } }, { context: OTHER }],
  });
  span.addEvent("event", { a: 1, b: 2 }, 1_700_000_000_123_456_790n);
  span.addEvent("too many");
  span.setStatus(StatusCode.ERROR, "timeout");
  span.end(1_700_000_001_000_000_000n);
  const a = [{ key: "a", value: { intValue: "1" } }];
  expect(JSON.parse(encodeTraces(RESOURCE, ended))).toStrictEqual({
    resourceSpans: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "test" } }] },
        scopeSpans: [
          {
            scope: { name: "scope", version: "1.2.3" },
            spans: [
              {
                traceId: "0af7651916cd43dd8448eb211c80319c",
                spanId: "00f067aa0ba902b7",
                traceState: "vendor=1",
                parentSpanId: "b7ad6b7169203331",
                flags: 0x301,
                name: "work",
                kind: 3,
                startTimeUnixNano: "1700000000123456789",
                endTimeUnixNano: "1700000001000000000",
                attributes: a,
                droppedAttributesCount: 1,
                events: [
                  { timeUnixNano: "1700000000123456790", name: "event", attributes: a, droppedAttributesCount: 1 },
                ],
                droppedEventsCount: 1,
                links: [
                  {
                    traceId: "0af7651916cd43dd8448eb211c80319c",
                    spanId: "b7ad6b7169203331",
                    traceState: "other=2",
                    flags: 0x101,
                    attributes: a,
                    droppedAttributesCount: 1,
                  },
                ],
                droppedLinksCount: 1,
                status: { code: 2, message: "timeout" },
              },
            ],
          },
        ],
      },
    ],
  });
});

describe("R2 values", () => {
  test.each<[string, AttributeValue, string]>([
    ["an integer is a decimal string", 42, '{"intValue":"42"}'],
    ["a negative one too", -42, '{"intValue":"-42"}'],
    ["2^53 + 2 is exact", 2 ** 53 + 2, '{"intValue":"9007199254740994"}'],
    ["an integer past int64 is no intValue", 1e20, '{"doubleValue":100000000000000000000}'],
    ["2^63 is none either", 2 ** 63, '{"doubleValue":9223372036854776000}'],
    ["a bigint is exact", 2n ** 53n + 1n, '{"intValue":"9007199254740993"}'],
    ["a bigint past int64 is text", 2n ** 63n, '{"stringValue":"9223372036854775808"}'],
    ["a fraction is a number", 0.1, '{"doubleValue":0.1}'],
    ["-0 keeps its sign", -0, '{"doubleValue":-0.0}'],
    ["NaN is a string", Number.NaN, '{"doubleValue":"NaN"}'],
    ["Infinity too", Number.POSITIVE_INFINITY, '{"doubleValue":"Infinity"}'],
    ["-Infinity too", Number.NEGATIVE_INFINITY, '{"doubleValue":"-Infinity"}'],
    ["bytes are base64", Uint8Array.of(251, 255, 0), '{"bytesValue":"+/8A"}'],
    ["booleans are themselves", false, '{"boolValue":false}'],
    ["text is quoted", 'a"b\\c\n', '{"stringValue":"a\\"b\\\\c\\n"}'],
    ["half a character is replaced", "\ud83d", '{"stringValue":"\ufffd"}'],
    ["a whole one is not", "😀", '{"stringValue":"😀"}'],
    [
      "arrays nest",
      [[1], []],
      '{"arrayValue":{"values":[{"arrayValue":{"values":[{"intValue":"1"}]}},{"arrayValue":{"values":[]}}]}}',
    ],
  ])("%s", (_name, value, text) => {
    expect(encodeValue(value)).toBe(text);
  });

  test.each<[string, AttributeValue, object]>([
    ["an integral number", 0, { doubleValue: 0 }],
    ["a negative one", -3, { doubleValue: -3 }],
    ["a fraction, as ever", 0.5, { doubleValue: 0.5 }],
    ["-0, as ever", -0, { doubleValue: -0 }],
    ["NaN, as ever", Number.NaN, { doubleValue: "NaN" }],
    ["a bigint", 7n, { doubleValue: 7 }],
    ["text is left as it is", "7", { stringValue: "7" }],
  ])("of a key that is declared double: %s, also in an event and a link", (_name, value, expected) => {
    const { tracer, ended } = createRecorder({ doubleKeys: new Set(["cost"]) });
    const span = tracer.startSpan("work", { attributes: { cost: value, count: 3 } });
    span.addEvent("paid", { cost: value, count: 3 });
    span.addLink({ context: OTHER, attributes: { cost: value, count: 3 } });
    span.end();
    const [written] = JSON.parse(encodeTraces({ cost: 1 }, ended)).resourceSpans[0].scopeSpans[0].spans;
    const attributes = [
      { key: "cost", value: expected },
      { key: "count", value: { intValue: "3" } },
    ];
    for (const each of [written, written.events[0], written.links[0]]) expect(each.attributes).toEqual(attributes);
  });

  test("a key is double only for the spans of its tracer", () => {
    const { tracer, ended } = createRecorder({ doubleKeys: new Set(["cost"]) });
    const other = createRecorder();
    for (const each of [tracer, other.tracer, tracer]) each.startSpan("work", { attributes: { cost: 1 } }).end();
    const spans = [ended[0], other.ended[0], ended[1]].map((span) => JSON.parse(encodeSpanText(span as ReadableSpan)));
    const types = spans.map(({ attributes }) => Object.keys(attributes[0].value)[0]);
    expect(types).toEqual(["doubleValue", "intValue", "doubleValue"]);
    const resource = JSON.parse(encodeTraces({ cost: 1 }, ended)).resourceSpans[0].resource;
    expect(resource.attributes[0].value).toEqual({ intValue: "1" });
  });

  test("a resumed span follows its new tracer's declarations", () => {
    const first = createRecorder();
    first.tracer.startSpan("work", { attributes: { cost: 1 } });
    const open = parseOpenSpan(serialiseSpan(only(first.started)));
    const second = createRecorder({ doubleKeys: new Set(["cost"]) });
    second.tracer.resumeSpan(open as OpenSpan).end();
    expect(JSON.parse(encodeSpanText(only(second.ended))).attributes[0].value).toEqual({ doubleValue: 1 });
  });

  test("times are decimal strings from the first nanosecond to the last", () => {
    const startOf = (startTime: bigint) => encodeSpan({ startTime }).startTimeUnixNano;
    for (const time of [0n, 1n, 999_999_999n, 1_000_000_000n, 18_446_744_072_999_999_999n]) {
      expect(startOf(time)).toBe(String(time));
    }
  });

  test("repeated text is encoded in the same way, however long", () => {
    for (const text of ["short", 'sh"ort', "long ".repeat(50), '"long" '.repeat(50)]) {
      const value = { stringValue: text };
      expect(encodeAttributes({ a: text, b: text, c: [text] })).toEqual([
        { key: "a", value },
        { key: "b", value },
        { key: "c", value: { arrayValue: { values: [value] } } },
      ]);
    }
  });

  test("more different texts than the cache holds are encoded in the same way", () => {
    const { tracer, started } = createRecorder({ limits: { attributes: 5000 } });
    const values = Array.from({ length: 2500 }, (_, i) => `value ${i}`);
    for (let i = 0; i < 2; i++) {
      tracer.startSpan("work", { attributes: Object.fromEntries(values.map((value) => [value, value])) });
    }
    for (const { attributes } of JSON.parse(encodeTraces(RESOURCE, started)).resourceSpans[0].scopeSpans[0].spans) {
      expect(attributes).toEqual(values.map((value) => ({ key: value, value: { stringValue: value } })));
    }
  });
});

test("R3 the kind is that of the API plus one: internal is 1, and is the default", () => {
  expect(encodeSpan().kind).toBe(1);
  const kinds = [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER];
  expect(kinds.map((kind) => encodeSpan({ kind }).kind)).toEqual([1, 2, 3, 4, 5]);
});

describe("R4 flags", () => {
  test.each([0, 1, 2, 3])("bits 0 to 7 are the span's W3C flags, %i", (traceFlags) => {
    expect(encodeSpan({ parent: { ...OTHER, traceFlags: traceFlags | 1 } }).flags & 0xff).toBe(traceFlags | 1);
    expect(encodeSpan({}, (span) => span.addLink({ context: { ...OTHER, traceFlags } })).links[0].flags).toBe(
      0x100 | traceFlags,
    );
  });

  test("a span states whether its parent is remote", () => {
    expect(encodeSpan({ parent: OTHER }).flags).toBe(0x101);
    expect(encodeSpan({ parent: { ...OTHER, isRemote: true } }).flags).toBe(0x301);
    expect(encodeSpan().flags).toBe(0x103);
  });

  test("a link states whether its context is remote", () => {
    const flagsOf = (isRemote: boolean) => encodeSpan({ links: [{ context: { ...OTHER, isRemote } }] }).links[0].flags;
    expect([flagsOf(false), flagsOf(true)]).toEqual([0x101, 0x301]);
  });

  test("a span that is only recorded is not flagged as sampled", () => {
    const { tracer, started } = createRecorder({ sampler: recordDropped(alwaysOff) });
    tracer.startSpan("work");
    expect(JSON.parse(encodeTraces(RESOURCE, started)).resourceSpans[0].scopeSpans[0].spans[0].flags).toBe(0x102);
  });

  test("bits 10 to 31 are zero, whatever the context contains", () => {
    const context = { ...OTHER, traceFlags: 0xffff_ffff };
    const span = encodeSpan({ parent: context, links: [{ context }] });
    expect([span.flags, span.links[0].flags]).toEqual([0x103, 0x103]);
  });
});

describe("R5", () => {
  test("attribute keys are unique, the last value counts", () => {
    const span = encodeSpan({ attributes: { a: 1 } }, (each) => {
      each.setAttribute("a", 2);
      each.setAttributes({ a: 3 });
    });
    expect(span.attributes).toEqual([{ key: "a", value: { intValue: "3" } }]);
  });

  test("keys that differ only in lone surrogates stay different", () => {
    const list = encodeAttributes({ "\ud800": 1, "\ud801": 2, "\ufffd": 3 }) as { key: string }[];
    const keys = list.map(({ key }) => key);
    expect(new Set(keys).size).toBe(3);
    expect(keys.every((key) => key.isWellFormed())).toBe(true);
  });

  test("an empty value is {}", () => {
    expect(encodeValue(null)).toBe("{}");
    expect(encodeValue([null, untyped(undefined)])).toBe('{"arrayValue":{"values":[{},{}]}}');
  });

  test("a root has no parentSpanId, and absent fields are omitted", () => {
    expect(Object.keys(encodeSpan())).toEqual([
      "traceId",
      "spanId",
      "flags",
      "name",
      "kind",
      "startTimeUnixNano",
      "status",
    ]);
  });

  test("no spans: no envelope around them", () => {
    expect(JSON.parse(encodeTraces(RESOURCE, []))).toEqual({ resourceSpans: [] });
  });

  test("resource, scope and status are always there", () => {
    const { tracer, started } = createRecorder({ scope: { name: "" } });
    tracer.startSpan("work");
    expect(JSON.parse(encodeTraces({}, started))).toMatchObject({
      resourceSpans: [
        { resource: { attributes: [] }, scopeSpans: [{ scope: { name: "" }, spans: [{ status: { code: 0 } }] }] },
      ],
    });
  });
});

describe("envelopes", () => {
  function spanOf(scope: Scope, name: string) {
    const { tracer, started } = createRecorder({ scope });
    tracer.startSpan(name);
    return only(started);
  }

  test("spans of one scope share it, in their order", () => {
    const one = { name: "one" };
    const two = { name: "two", version: "2" };
    const spans = [spanOf(one, "a"), spanOf(two, "b"), spanOf(one, "c")];
    const { resourceSpans } = JSON.parse(encodeTraces(RESOURCE, spans));
    expect(resourceSpans).toHaveLength(1);
    expect(resourceSpans[0].scopeSpans).toMatchObject([
      { scope: one, spans: [{ name: "a" }, { name: "c" }] },
      { scope: two, spans: [{ name: "b" }] },
    ]);
  });

  test("a resource follows the same rules as a span's attributes", () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    const getter = Object.defineProperty({}, "g", {
      enumerable: true,
      get: () => {
        throw new Error("hostile");
      },
    });
    const resource = untyped<Attributes>(
      Object.assign(getter, { a: undefined, b: { toJSON: () => 1 }, c: cyclic, "": 1, d: ["x", undefined] }),
    );
    const text = encodeTraces(resource, [spanOf({ name: "test" }, "work")]);
    expect(JSON.parse(text).resourceSpans[0].resource).toEqual({
      attributes: [{ key: "d", value: { arrayValue: { values: [{ stringValue: "x" }, {}] } } }],
    });
  });

  test("an open span has no end", () => {
    expect(encodeSpan()).not.toHaveProperty("endTimeUnixNano");
    expect(encodeSpan({}, (span) => span.end())).toHaveProperty("endTimeUnixNano");
  });

  test("the pieces, assembled by a caller, are the same request", () => {
    fc.assert(
      fc.property(fc.array(anySpans, { minLength: 1, maxLength: 4 }), (list) => {
        const scopeSpans = list.map((span) => `{"scope":${encodeScope(span.scope)},"spans":[${encodeSpanText(span)}]}`);
        const text = `{"resourceSpans":[{"resource":${encodeResource(RESOURCE)},"scopeSpans":[${scopeSpans}]}]}`;
        expect(text).toBe(encodeTraces(RESOURCE, list));
      }),
    );
  });
});
