// What Valet's encoder writes is OTLP/JSON to the strictest reader, which the tests of whole systems use as their backend.
import { type Attributes, type AttributeValue, encodeTraces, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readStrictly } from "../../test/strict-otlp.ts";

function encode(attributes: Attributes, name: string): string {
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "test", version: "1" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  const parent = tracer.startSpan(name, { attributes });
  const child = tracer.startSpan("child", { parent, links: [{ context: parent.context, attributes }] });
  child.addEvent("event", attributes);
  child.recordException(new TypeError("no"));
  child.end();
  parent.end();
  return encodeTraces({ "service.name": "test" }, ended);
}

const value: fc.Arbitrary<AttributeValue> = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.boolean(),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.array(fc.string(), { maxLength: 3 }),
  fc.array(fc.double(), { maxLength: 3 }),
);

test("whatever the attributes are", () => {
  const property = fc.property(fc.dictionary(fc.string(), value), fc.string(), (attributes, name) => {
    const { resourceSpans } = readStrictly(encode(attributes, name));
    expect(resourceSpans[0]?.scopeSpans[0]?.spans).toHaveLength(2);
  });
  fc.assert(property, { numRuns: 200 });
});

const SPAN = { traceId: "a".repeat(32), spanId: "b".repeat(16), name: "x", kind: 1, startTimeUnixNano: "1" };
const request = (span: object) => JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });

test.each<[string, object, RegExp]>([
  ["an unknown field", { more: 1 }, /spans\[0\]\.more is no field/],
  ["a field in the schema's spelling", { parent_span_id: "b".repeat(16) }, /parent_span_id is no field/],
  ["an enum by name", { kind: "SPAN_KIND_SERVER" }, /kind is no number/],
  ["an enum's number that is none", { kind: 9 }, /kind is no number/],
  ["a time as a number", { startTimeUnixNano: 1 }, /startTimeUnixNano has another type/],
  ["an id in capitals", { spanId: "B".repeat(16) }, /spanId is no id/],
  ["an id in base64", { spanId: "u7u7u7u7u7s=" }, /spanId is no id/],
  ["an id of zeros", { traceId: "0".repeat(32) }, /traceId is no id/],
  ["null", { name: null }, /name has another type/],
  ["a list that is none", { events: {} }, /events is no list/],
  [
    "a value of two types",
    { attributes: [{ key: "a", value: { stringValue: "a", intValue: "1" } }] },
    /oneof|set multiple/,
  ],
  ["an integer as a number", { attributes: [{ key: "a", value: { intValue: 1 } }] }, /intValue has another type/],
])("%s is refused", (_what, change, message) => {
  expect(readStrictly(request(SPAN)).resourceSpans).toHaveLength(1);
  expect(() => readStrictly(request({ ...SPAN, ...change }))).toThrow(message);
});
