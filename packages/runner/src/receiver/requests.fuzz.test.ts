/** Whatever arrives at the receiver: any bytes, and valid requests in any order and repeated. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect } from "vitest";
import { fuzz } from "../../../shared/test/fuzz-runs.ts";
import {
  CONTEXT,
  type ForeignSpan,
  NOW,
  requestOf,
  START,
  setUpIntake,
  TOOL,
  TRACE,
} from "../../test/foreign-spans.ts";
import { decodeRequest, type Encoding } from "./decode.ts";
import {
  type ExportTraceServiceRequest,
  ExportTraceServiceRequestSchema,
} from "./proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";

const hex = (digits: number) => fc.nat(15).map((n) => n.toString(16).repeat(digits));
const traceId = fc.oneof(fc.constant(TRACE), hex(32));
const spanId = fc.oneof(
  fc.constant(TOOL),
  hex(16),
  fc.nat(0xffff).map((n) => `1${n.toString(16).padStart(15, "0")}`),
);
const text = fc.string({ unit: "binary", maxLength: 20 });

const spans: fc.Arbitrary<ForeignSpan> = fc.record({
  traceId,
  spanId,
  parentSpanId: fc.option(spanId, { nil: undefined }),
  name: fc.oneof(text, fc.constant("valet.turn")),
  startNs: fc.bigInt({ min: START - 5_000_000_000n, max: NOW + 5_000_000_000n }),
  attributes: fc.dictionary(fc.oneof(text, fc.constantFrom("valet.outcome", "session.id")), text, { maxKeys: 4 }),
  links: fc.array(fc.record({ traceId, spanId }), { maxLength: 2 }),
  flags: fc.nat(0xfff),
});

/** OTLP/JSON as another program would write it, of the same request. */
function toOtlpJson(request: ExportTraceServiceRequest): string {
  const ids = ["traceId", "spanId", "parentSpanId"];
  return JSON.stringify(request, (key, value) => {
    if (key === "$typeName" || key === "$unknown") return undefined;
    if (typeof value === "bigint") return value.toString();
    if (ids.includes(key)) return Buffer.from(Object.values(value as Record<string, number>)).toString("hex");
    if (typeof value === "object" && value !== null && "case" in value) {
      return value.case === undefined ? {} : { [String(value.case)]: (value as { value: unknown }).value };
    }
    return value;
  }).replaceAll(/"value":\{"value":(\{"stringValue":"(?:[^"\\]|\\.)*"\})\}/g, '"value":$1');
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  // A valid request with some bytes changed: it is more likely to get far.
  fc
    .tuple(fc.array(spans, { maxLength: 2 }), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
    .map(([all, changes]) => {
      const encoded = toBinary(ExportTraceServiceRequestSchema, requestOf(all));
      for (const [at, byte] of changes) if (encoded.length > 0) encoded[at % encoded.length] = byte;
      return encoded;
    }),
  fc
    .json({ maxDepth: 4 })
    .map((json) => new TextEncoder().encode(`{"resourceSpans":[${json},{"scopeSpans":[{"spans":[${json}]}]}]}`)),
  fc.array(spans, { maxLength: 2 }).map((all) => new TextEncoder().encode(toOtlpJson(requestOf(all)))),
);

fuzz(
  "any bytes are a request or none, and what is taken is OTLP",
  fc.record({ bytes, encoding: fc.constantFrom<Encoding>("json", "protobuf") }),
  ({ bytes: body, encoding }) => {
    const request = decodeRequest(body, encoding);
    if (typeof request !== "object") return;
    const { intake, calls, taken } = setUpIntake();
    const [call] = calls.ofTrace(TRACE);
    intake.take(request, call!);
    for (const span of taken()) {
      expect(span.traceId).toBe(TRACE);
      expect(span.spanId).toMatch(/^(?!0{16})[0-9a-f]{16}$/);
      expect(span.spanId).not.toBe(TOOL);
      expect(span.parentSpanId).toMatch(/^(?!0{16})[0-9a-f]{16}$/);
      expect(new Set(span.attributes.map(({ key }) => key)).size).toBe(span.attributes.length);
    }
  },
);

fuzz("both encodings say the same", fc.array(spans, { maxLength: 3 }), (all) => {
  const request = requestOf(all);
  const encoded = toBinary(ExportTraceServiceRequestSchema, request);
  const fromProtobuf = decodeRequest(encoded, "protobuf");
  // Lone surrogates have no place in either.
  const json = new TextEncoder().encode(toOtlpJson(fromBinary(ExportTraceServiceRequestSchema, encoded)));
  expect(decodeRequest(json, "json")).toEqual(fromProtobuf);
});

const uniqueSpans = fc.uniqueArray(spans, { selector: (span) => span.spanId, maxLength: 8 });

fuzz(
  "batches in any order and repeated give the same spans",
  fc.record({
    all: uniqueSpans,
    endNs: fc.option(fc.bigInt({ min: START, max: NOW }), { nil: undefined }),
    other: fc.record({ endNs: fc.option(fc.bigInt({ min: START, max: NOW }), { nil: undefined }), at: fc.nat(16) }),
    order: fc.infiniteStream(fc.nat()),
  }),
  ({ all, endNs, other, order }) => {
    const given = setUpIntake();
    const shuffled = setUpIntake();
    for (const { calls } of [given, shuffled]) if (endNs !== undefined) calls.end(TOOL, endNs);
    // Another call of the trace: the program neither was started by it nor works for it.
    const beginOther = ({ calls }: typeof given) => {
      const context = { ...CONTEXT, spanId: "d1".repeat(8) };
      calls.begin(context, START);
      if (other.endNs !== undefined) calls.end(context.spanId, other.endNs);
    };
    beginOther(given);
    given.take(all);
    const batches = [...all, ...all].map((span) => ({ span, place: order.next().value }));
    for (const [index, { span }] of batches.sort((a, b) => a.place - b.place).entries()) {
      if (index === other.at) beginOther(shuffled);
      shuffled.take([span]);
    }
    const sorted = (spansOf: readonly { readonly spanId: string }[]) =>
      spansOf.toSorted((a, b) => (a.spanId < b.spanId ? -1 : 1));
    expect(sorted(shuffled.taken())).toEqual(sorted(given.taken()));
  },
);
