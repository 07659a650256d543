/** Reads `ExportTraceServiceRequest` in OTLP's two encodings, and writes the answers in the encoding of the request. Pure. */
import { create, type DescMessage, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  type ExportTraceServiceRequest,
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from "./proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";

export type { ExportTraceServiceRequest };

/** The `Content-Type` of OTLP/HTTP's encodings. */
export const ENCODINGS = { json: "application/json", protobuf: "application/x-protobuf" } as const;
export type Encoding = keyof typeof ENCODINGS;

/** Returns the encoding of a `Content-Type`; `undefined` if it is none of OTLP's. */
export function encodingOf(contentType: string | null): Encoding | undefined {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  if (type === ENCODINGS.json) return "json";
  return type === ENCODINGS.protobuf || type === "application/protobuf" ? "protobuf" : undefined;
}

/**
 * The most messages in a request: spans, attributes, their values and so on. An empty one has two bytes but takes hundreds in memory, so
 * that the limit of the body does not limit what the runner spends on it. The spans that SDKs send have twenty bytes a message and more.
 */
export const MAX_MESSAGES = 250_000;

/**
 * Reads a request. Returns `"too_many"` if it has more than {@link MAX_MESSAGES}, and `undefined` if it is malformed: whatever the bytes
 * are, it never throws.
 */
export function decodeRequest(
  bytes: Uint8Array,
  encoding: Encoding,
): ExportTraceServiceRequest | "too_many" | undefined {
  try {
    if (encoding === "protobuf") {
      if (countMessages(bytes) > MAX_MESSAGES) return "too_many";
      return fromBinary(ExportTraceServiceRequestSchema, bytes, { readUnknownFields: false });
    }
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (countObjects(json) > MAX_MESSAGES) return "too_many";
    return fromJson(ExportTraceServiceRequestSchema, toProtobufJson(json), { ignoreUnknownFields: true });
  } catch {
    return undefined;
  }
}

/** As the protobuf decoder allows. */
const MAX_DEPTH = 100;

/** Returns how many messages a request has, or a few more than the most. @throws if it is malformed, or messages nest too deep */
function countMessages(bytes: Uint8Array): number {
  const reader = new BinaryReader(bytes);
  /** The messages that the reader is in: their kinds and their ends. */
  const within: [kind: MessageFields, end: number][] = [[fieldsOf(ExportTraceServiceRequestSchema), bytes.length]];
  let count = 0;
  for (let next = within.at(-1); next !== undefined && count <= MAX_MESSAGES; next = within.at(-1)) {
    const [fields, end] = next;
    if (reader.pos >= end) {
      within.pop();
      continue;
    }
    const [number, type] = reader.tag();
    const kind = type === WireType.LengthDelimited ? fields.get(number) : undefined;
    if (kind === undefined) {
      reader.skip(type, number);
      continue;
    }
    count++;
    if (within.length > MAX_DEPTH) throw new RangeError("messages nest too deep");
    const length = reader.uint32();
    within.push([fieldsOf(kind), reader.pos + length]);
  }
  return count;
}

/** The kind of each field of a message that is a message itself, or a list of them, by the field's number. */
type MessageFields = ReadonlyMap<number, DescMessage>;

const messageFields = new Map<DescMessage, MessageFields>();

function fieldsOf(kind: DescMessage): MessageFields {
  const known = messageFields.get(kind);
  if (known !== undefined) return known;
  const fields = new Map(
    kind.fields.flatMap(({ number, message }) => (message === undefined ? [] : [[number, message] as const])),
  );
  messageFields.set(kind, fields);
  return fields;
}

/** Returns how many objects a value has, or a few more than the most. @throws if they nest too deep: the JSON reader has no limit of its own */
function countObjects(json: unknown): number {
  const left: [value: unknown, depth: number][] = [[json, 0]];
  let count = 0;
  for (let next = left.pop(); next !== undefined && count <= MAX_MESSAGES; next = left.pop()) {
    const [value, depth] = next;
    if (typeof value !== "object" || value === null) continue;
    if (depth > 2 * MAX_DEPTH) throw new RangeError("messages nest too deep");
    // The elements of a list are messages. If there are too many of them, none needs to be looked at.
    if (!Array.isArray(value)) count++;
    else if (value.length > MAX_MESSAGES) return value.length;
    for (const each of Object.values(value)) left.push([each, depth + 1]);
  }
  return count;
}

const ID_FIELDS = ["traceId", "spanId", "parentSpanId"] as const;
const TIME_FIELDS = ["startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"] as const;

/** Returns the request in protobuf's own JSON, where ids are base64: OTLP writes them as hex. */
function toProtobufJson(request: unknown): JsonValue {
  const spans = listIn(request, "resourceSpans")
    .flatMap((each) => listIn(each, "scopeSpans"))
    .flatMap((each) => listIn(each, "spans"));
  for (const span of spans) {
    for (const each of [span, ...listIn(span, "links"), ...listIn(span, "events")]) {
      for (const key of ID_FIELDS) convert(each, key, hexToBase64);
      for (const key of TIME_FIELDS) convert(each, key, wholeNumber);
    }
  }
  return request as JsonValue;
}

function listIn(value: unknown, key: string): unknown[] {
  const list = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  return Array.isArray(list) ? list : [];
}

function convert(holder: unknown, key: string, to: (value: unknown) => unknown): void {
  if (typeof holder !== "object" || holder === null || !Object.hasOwn(holder, key)) return;
  const fields = holder as Record<string, unknown>;
  fields[key] = to(fields[key]);
}

/** @throws if it is no hex */
function hexToBase64(id: unknown): unknown {
  if (id === null) return id;
  if (typeof id !== "string" || !/^(?:[0-9a-f]{2})*$/i.test(id)) throw new TypeError("an id is not hex");
  return Buffer.from(id, "hex").toString("base64");
}

/** A shell script may write nanoseconds as a number, which no double represents exactly. */
function wholeNumber(time: unknown): unknown {
  return typeof time === "number" && Number.isInteger(time) && time >= 0 ? BigInt(time).toString() : time;
}

/** Returns the body of a success. @param rejected the number of spans that were not taken, and why */
export function encodeSuccess(
  encoding: Encoding,
  rejected?: { readonly spans: number; readonly message: string },
): Uint8Array<ArrayBuffer> {
  const partialSuccess = rejected && { rejectedSpans: BigInt(rejected.spans), errorMessage: rejected.message };
  const response = create(ExportTraceServiceResponseSchema, partialSuccess && { partialSuccess });
  return encoding === "protobuf"
    ? toBinary(ExportTraceServiceResponseSchema, response)
    : new TextEncoder().encode(JSON.stringify(toJson(ExportTraceServiceResponseSchema, response)));
}

/** Returns the body of a failure: `google.rpc.Status`. @param code of `google.rpc.Code` */
export function encodeFailure(encoding: Encoding, code: number, message: string): Uint8Array<ArrayBuffer> {
  if (encoding === "json") return new TextEncoder().encode(JSON.stringify({ code, message }));
  const status = new BinaryWriter()
    .tag(1, WireType.Varint)
    .int32(code)
    .tag(2, WireType.LengthDelimited)
    .string(message);
  return new Uint8Array(status.finish());
}
