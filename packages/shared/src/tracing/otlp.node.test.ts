import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRecorder } from "../../test/recorder.ts";
import { bigints, numbers, spans, texts } from "../../test/span-arbitraries.ts";
import {
  type DecodedAnyValue,
  type DecodedKeyValue,
  type DecodedSpan,
  decodeTraces,
} from "../../test/strict-decoder.ts";
import type { AttributeValue } from "./attributes.ts";
import { encodeTraces } from "./otlp.ts";
import { type ReadableSpan, StatusCode } from "./readable-span.ts";
import { formatNanos } from "./time.ts";

const RESOURCE = { "service.name": "test" };

function decodeSpans(list: readonly ReadableSpan[]): DecodedSpan[] {
  const { resourceSpans = [] } = decodeTraces(encodeTraces(RESOURCE, list));
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
}

/** A value that went through encoder and decoder. */
function decodeValue(value: AttributeValue): DecodedAnyValue {
  const { tracer, started } = createRecorder();
  tracer.startSpan("work", { attributes: { key: value } });
  const [span] = decodeSpans(started);
  return span?.attributes?.[0]?.value ?? expect.fail("the value is not there");
}

describe("the decoder", () => {
  const id = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
  const span = { ...id, name: "work", kind: 1, startTimeUnixNano: "1", status: {} };

  /** A request of one span, in which some fields are others. */
  function request(fields: object = {}): string {
    return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [{ ...span, ...fields }] }] }] });
  }

  function requestOf(value: unknown): string {
    return request({ attributes: [{ key: "a", value }] });
  }

  test("accepts valid messages", () => {
    expect(() => decodeTraces(request())).not.toThrow();
    expect(() => decodeTraces(request({ flags: 0x3ff, links: [id], events: [{ name: "e" }] }))).not.toThrow();
    for (const value of [
      {},
      { intValue: "-9223372036854775808" },
      { doubleValue: -0.5 },
      { doubleValue: "NaN" },
      { doubleValue: "-Infinity" },
      { bytesValue: "AQL/" },
      { arrayValue: { values: [{ stringValue: "" }, {}] } },
    ]) {
      expect(() => decodeTraces(requestOf(value))).not.toThrow();
    }
  });

  test.each([
    ["an unknown field", request({ unknown: 1 })],
    ["a field in snake case", request({ start_time_unix_nano: "1" })],
    ["an unknown field of a message within", request({ status: { reason: "x" } })],
    ["upper-case hex", request({ traceId: id.traceId.toUpperCase() })],
    ["a short id", request({ spanId: "b7ad6b71" })],
    ["an id of zeros", request({ spanId: "0".repeat(16) })],
    ["an id in base64", request({ traceId: "CvdlGRbNQ92ESOshHIAxnA==" })],
    ["an empty parent id", request({ parentSpanId: "" })],
    ["a link's bad id", request({ links: [{ ...id, spanId: "x" }] })],
    ["a time as a number", request({ startTimeUnixNano: 1 })],
    ["a negative time", request({ startTimeUnixNano: "-1" })],
    ["a time past 64 bits", request({ startTimeUnixNano: "18446744073709551616" })],
    ["a time with a fraction", request({ startTimeUnixNano: "1.5" })],
    ["a time with an exponent", request({ startTimeUnixNano: "1e21" })],
    ["a kind as a name", request({ kind: "SPAN_KIND_INTERNAL" })],
    ["an unknown kind", request({ kind: 6 })],
    ["a kind in quotes", request({ kind: "1" })],
    ["an unknown status", request({ status: { code: 3 } })],
    ["flags past 32 bits", request({ flags: 2 ** 32 })],
    ["a negative count", request({ droppedEventsCount: -1 })],
    ["a name that is no text", request({ name: 1 })],
    ["a name that is null", request({ name: null })],
    ["a lone surrogate", request({ name: "\ud800" })],
    ["an intValue as a number", requestOf({ intValue: 5 })],
    ["an intValue with a fraction", requestOf({ intValue: 1.5 })],
    ["an intValue past int64", requestOf({ intValue: "9223372036854775808" })],
    ["an intValue of 1e20", requestOf({ intValue: "100000000000000000000" })],
    ["an intValue with an exponent", requestOf({ intValue: "1e3" })],
    ["a doubleValue of null", requestOf({ doubleValue: null })],
    ["a doubleValue in quotes", requestOf({ doubleValue: "1.5" })],
    ["a boolValue in quotes", requestOf({ boolValue: "true" })],
    ["a stringValue that is no text", requestOf({ stringValue: 1 })],
    ["bytes that are no base64", requestOf({ bytesValue: "AQL" })],
    ["a value of two kinds", requestOf({ stringValue: "a", intValue: "1" })],
    ["a value of no kind", requestOf("a")],
    ["null in an array", requestOf({ arrayValue: { values: [null] } })],
    ["an array without its message", requestOf({ arrayValue: [{ intValue: "1" }] })],
    ["raw NaN", requestOf({ doubleValue: 1.5 }).replace("1.5", "NaN")],
    ["raw Infinity", requestOf({ doubleValue: 1.5 }).replace("1.5", "1e999")],
    ["a key twice", request().replace('"kind":1', '"kind":1,"kind":1')],
    [
      "an attribute twice",
      request({
        attributes: [
          { key: "a", value: {} },
          { key: "a", value: {} },
        ],
      }),
    ],
    ["an attribute without key", request({ attributes: [{ key: "", value: {} }] })],
    ["messages 101 deep", requestOf(nested(48))],
    ["no JSON", "{"],
    ["no object", "[]"],
  ])("refuses %s", (_name, text) => {
    expect(() => decodeTraces(text)).toThrow();
  });

  test("accepts messages 99 levels deep", () => {
    expect(() => decodeTraces(requestOf(nested(47)))).not.toThrow();
  });

  function nested(arrays: number): unknown {
    return arrays === 0 ? {} : { arrayValue: { values: [nested(arrays - 1)] } };
  }
});

describe("R2 values are the same after decoding", () => {
  test.each<[string, AttributeValue, DecodedAnyValue]>([
    ["NaN", Number.NaN, { doubleValue: "NaN" }],
    ["Infinity", Number.POSITIVE_INFINITY, { doubleValue: "Infinity" }],
    ["-Infinity", Number.NEGATIVE_INFINITY, { doubleValue: "-Infinity" }],
    ["-0", -0, { doubleValue: -0 }],
    ["0", 0, { intValue: "0" }],
    ["1e20", 1e20, { doubleValue: 1e20 }],
    ["1e21", 1e21, { doubleValue: 1e21 }],
    ["the smallest double", 5e-324, { doubleValue: 5e-324 }],
    ["the largest double", Number.MAX_VALUE, { doubleValue: Number.MAX_VALUE }],
    ["2^53 + 1 as a number, which is 2^53", 2 ** 53 + 1, { intValue: "9007199254740992" }],
    ["2^53 + 2", 2 ** 53 + 2, { intValue: "9007199254740994" }],
    ["the largest number below 2^63", 2 ** 63 - 1024, { intValue: "9223372036854774784" }],
    ["2^63", 2 ** 63, { doubleValue: 2 ** 63 }],
    ["-2^63", -(2 ** 63), { doubleValue: -(2 ** 63) }],
    ["2^53 + 1 as a bigint", 2n ** 53n + 1n, { intValue: "9007199254740993" }],
    ["the largest int64", 2n ** 63n - 1n, { intValue: "9223372036854775807" }],
    ["the smallest int64", -(2n ** 63n), { intValue: "-9223372036854775808" }],
    ["a bigint past int64", 2n ** 63n, { stringValue: "9223372036854775808" }],
    ["a bigint before int64", -(2n ** 63n) - 1n, { stringValue: "-9223372036854775809" }],
    ["an empty array", [], { arrayValue: {} }],
    [
      "nested arrays",
      [[], [[1]], null],
      {
        arrayValue: {
          values: [
            { arrayValue: {} },
            { arrayValue: { values: [{ arrayValue: { values: [{ intValue: "1" }] } }] } },
            {},
          ],
        },
      },
    ],
    ["null", null, {}],
    ["bytes", Uint8Array.of(0, 255, 16), { bytesValue: "AP8Q" }],
    ["no bytes", new Uint8Array(), { bytesValue: "" }],
    ["an empty string", "", { stringValue: "" }],
    ["a lone surrogate", "a\ud800b", { stringValue: "a\ufffdb" }],
    ["half a character in an array", ["\udc00"], { arrayValue: { values: [{ stringValue: "\ufffd" }] } }],
  ])("%s", (_name, value, decoded) => {
    expect(decodeValue(value)).toStrictEqual(decoded);
  });

  test("strings of 1 MB: plain, escaped throughout, and of lone surrogates", () => {
    const MB = 2 ** 20;
    expect(decodeValue("x".repeat(MB))).toEqual({ stringValue: "x".repeat(MB) });
    expect(decodeValue('"\\'.repeat(MB / 2))).toEqual({ stringValue: '"\\'.repeat(MB / 2) });
    expect(decodeValue("\ud800".repeat(MB))).toEqual({ stringValue: "\ufffd".repeat(MB) });
  });

  test("1 MB of bytes", () => {
    const bytes = Uint8Array.from({ length: 2 ** 20 }, (_, i) => i);
    expect(decodeValue(bytes)).toEqual({ bytesValue: Buffer.from(bytes).toString("base64") });
  });

  test("arrays as deep and as long as the tracer allows", () => {
    let deep: AttributeValue = 1;
    for (let i = 0; i < 32; i++) deep = [deep];
    expect(decodeValue(deep)).toHaveProperty("arrayValue");
    expect(decodeValue(new Array(2 ** 16).fill(true)).arrayValue?.values).toHaveLength(2 ** 16);
  });

  test("lone surrogates everywhere else", () => {
    const { tracer, started } = createRecorder({ scope: { name: "\ud800", version: "\ud800" } });
    const span = tracer.startSpan("\ud800", { attributes: { "\ud800": 1, "\udc00": 2 } });
    span.addEvent("\udc00", { "\ud800": 1 });
    span.addLink({ context: span.context, attributes: { "\ud800": "\ud800" } });
    span.setStatus(StatusCode.ERROR, "a\ud800");
    const decoded = decodeTraces(encodeTraces({ "service.name": "\ud800", "\ud800": 1 }, started));
    expect(decoded.resourceSpans?.[0]?.scopeSpans[0]?.scope).toEqual({ name: "\ufffd", version: "\ufffd" });
    expect(decodeSpans(started)).toMatchObject([
      { name: "\ufffd", events: [{ name: "\ufffd" }], status: { code: 2, message: "a\ufffd" } },
    ]);
  });

  test("any resource, without values that are no attributes", () => {
    const resource = { a: undefined, "": 1, list: [undefined, [1]], o: {}, f: () => 1, n: Number.NaN } as object;
    expect(decodeTraces(encodeTraces(resource as typeof RESOURCE, [])).resourceSpans).toBeUndefined();
    const { tracer, started } = createRecorder();
    tracer.startSpan("work");
    const decoded = decodeTraces(encodeTraces(resource as typeof RESOURCE, started));
    expect(decoded.resourceSpans?.[0]?.resource.attributes).toEqual([
      { key: "list", value: { arrayValue: { values: [{}, { arrayValue: { values: [{ intValue: "1" }] } }] } } },
      { key: "n", value: { doubleValue: "NaN" } },
    ]);
  });
});

describe("times are exact to the digit", () => {
  function decodeTimes(time: number | bigint): unknown[] {
    const { tracer, ended } = createRecorder();
    const span = tracer.startSpan("work", { startTime: time });
    span.addEvent("event", undefined, time);
    span.end(time);
    return decodeSpans(ended).flatMap(({ startTimeUnixNano, endTimeUnixNano, events }) => [
      startTimeUnixNano,
      endTimeUnixNano,
      events?.[0]?.timeUnixNano,
    ]);
  }

  test("any millisecond from 1970 to 2200", () => {
    const milliseconds = fc.oneof(fc.constantFrom(0, 1, 999, 1000), fc.nat({ max: Date.UTC(2200, 0) }));
    fc.assert(
      fc.property(milliseconds, (ms) => {
        const nanos = String(BigInt(ms) * 1_000_000n);
        expect(decodeTimes(ms)).toEqual([nanos, nanos, nanos]);
      }),
      { numRuns: 1000 },
    );
  });

  test("any nanosecond up to the last of the format", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 18_446_744_072_999_999_999n }), (time) => {
        const nanos = String(time);
        expect(decodeTimes(time)).toEqual([nanos, nanos, nanos]);
      }),
      { numRuns: 1000 },
    );
  });

  test("spans of one batch keep their own times", () => {
    const { tracer, started } = createRecorder();
    const times = [0n, 1n, 999_999_999n, 1_000_000_000n, 1_700_000_000_000_000_001n, 1_700_000_000_000_000_000n, 5n];
    for (const startTime of times) tracer.startSpan("work", { startTime });
    expect(decodeSpans(started).map((span) => span.startTimeUnixNano)).toEqual(times.map(String));
  });
});

describe("whatever a tracer records", () => {
  test("is accepted, and is decoded as it was recorded", () => {
    fc.assert(
      fc.property(fc.array(spans, { minLength: 1, maxLength: 3 }), (list) => {
        const decoded = decodeSpans(list);
        expect(decoded.map((span) => span.spanId).toSorted()).toEqual(
          list.map((span) => span.context.spanId).toSorted(),
        );
        for (const span of list) {
          const found = decoded.find((each) => each.spanId === span.context.spanId);
          expectSame(found ?? expect.fail("the span is not there"), span);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("is accepted as a resource and as a scope, too", () => {
    const attributes = fc.dictionary(texts, fc.oneof(texts, numbers, bigints), { noNullPrototype: true, maxKeys: 5 });
    fc.assert(
      fc.property(attributes, texts, texts, (resource, name, version) => {
        const { tracer, started } = createRecorder({ scope: { name, version } });
        tracer.startSpan("work");
        const [decoded] = decodeTraces(encodeTraces(resource, started)).resourceSpans ?? [];
        expect(decoded?.scopeSpans[0]?.scope).toEqual({ name: name.toWellFormed(), version: version.toWellFormed() });
        const kept = Object.entries(resource).filter(([key]) => key !== "");
        expectSameAttributes(decoded?.resource.attributes, kept.flat());
      }),
      { numRuns: 300 },
    );
  });
});

function expectSame(decoded: DecodedSpan, span: ReadableSpan): void {
  const { context, parent, kind, statusCode, events, links } = span;
  expect(decoded).toMatchObject({
    traceId: context.traceId,
    name: span.name.toWellFormed(),
    kind,
    startTimeUnixNano: formatNanos(span.startTime),
  });
  expect(decoded.traceState).toBe(context.traceState || undefined);
  expect(decoded.parentSpanId).toBe(parent?.spanId);
  expect(decoded.endTimeUnixNano).toBe(span.endTime && formatNanos(span.endTime));
  expect(decoded.status).toEqual({
    code: statusCode,
    ...(span.statusMessage === "" ? {} : { message: span.statusMessage.toWellFormed() }),
  });
  const { droppedAttributesCount = 0, droppedEventsCount = 0, droppedLinksCount = 0 } = decoded;
  expect([droppedAttributesCount, droppedEventsCount, droppedLinksCount]).toEqual([
    span.droppedAttributes,
    span.droppedEvents,
    span.droppedLinks,
  ]);
  expectSameAttributes(decoded.attributes, span.attributes);
  expect(decoded.events?.length ?? 0).toBe(events.length);
  events.forEach((event, i) => {
    const found = decoded.events?.[i];
    expect(found).toMatchObject({ name: event.name.toWellFormed(), timeUnixNano: formatNanos(event.time) });
    expect(found?.droppedAttributesCount ?? 0).toBe(event.droppedAttributes);
    expectSameAttributes(found?.attributes, event.attributes);
  });
  expect(decoded.links?.length ?? 0).toBe(links.length);
  links.forEach((link, i) => {
    const found = decoded.links?.[i];
    expect(found).toMatchObject({ traceId: link.context.traceId, spanId: link.context.spanId });
    expect(found?.droppedAttributesCount ?? 0).toBe(link.droppedAttributes);
    expectSameAttributes(found?.attributes, link.attributes);
  });
}

function expectSameAttributes(
  decoded: readonly DecodedKeyValue[] | undefined,
  list: readonly (string | AttributeValue)[],
): void {
  const keys = list.filter((_, i) => i % 2 === 0) as string[];
  const values = list.filter((_, i) => i % 2 === 1);
  expect((decoded ?? []).map(({ value }) => meaning(value))).toStrictEqual(values.map(intent));
  (decoded ?? []).forEach(({ key }, i) => {
    if (keys[i]?.isWellFormed()) expect(key).toBe(keys[i]);
  });
}

/** What a decoded value stands for. */
function meaning(value: DecodedAnyValue): unknown {
  if (value.intValue !== undefined) return BigInt(value.intValue);
  if (value.doubleValue !== undefined) return Number(value.doubleValue);
  if (value.bytesValue !== undefined) return Uint8Array.from(Buffer.from(value.bytesValue, "base64"));
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(meaning);
  return value.stringValue ?? value.boolValue ?? null;
}

/** The same of a recorded value, after the rules of OTLP: integers that fit are int64, further bigints text. */
function intent(value: AttributeValue): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value === "bigint") return BigInt.asIntN(64, value) === value ? value : String(value);
  if (typeof value === "number") {
    const isInteger = Number.isInteger(value) && !Object.is(value, -0) && Math.abs(value) < 2 ** 63;
    return isInteger ? BigInt(value) : value;
  }
  return Array.isArray(value) ? value.map(intent) : value;
}
