import { deepStrictEqual } from "node:assert";
import root from "@opentelemetry/otlp-transformer/build/src/generated/root.js";

/**
 * An OTLP/JSON reader that is none of ours: the official protobuf messages, as protobufjs generated them from the `.proto`
 * files. Backends differ in what they forgive; this one forgives nothing. What it takes goes to the wire format and back, and
 * must come out as it went in: an unknown field, a value of another type, a number that does not fit are then missing or
 * different.
 */

export interface DecodedAnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string;
  readonly doubleValue?: number | "NaN" | "Infinity" | "-Infinity";
  readonly bytesValue?: string;
  readonly arrayValue?: { readonly values?: readonly DecodedAnyValue[] };
}

export interface DecodedKeyValue {
  readonly key: string;
  readonly value: DecodedAnyValue;
}

interface DecodedPart {
  readonly attributes?: readonly DecodedKeyValue[];
  readonly droppedAttributesCount?: number;
}

interface DecodedContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceState?: string;
  readonly flags: number;
}

export interface DecodedSpan extends DecodedPart, DecodedContext {
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano?: string;
  readonly events?: readonly (DecodedPart & { readonly name: string; readonly timeUnixNano: string })[];
  readonly droppedEventsCount?: number;
  readonly links?: readonly (DecodedPart & DecodedContext)[];
  readonly droppedLinksCount?: number;
  readonly status: { readonly code: number; readonly message?: string };
}

export interface DecodedTraces {
  readonly resourceSpans?: readonly {
    readonly resource: DecodedPart;
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string; readonly version?: string };
      readonly spans: readonly DecodedSpan[];
    }[];
  }[];
}

/** What protobufjs generates for a message. */
interface MessageType {
  fromObject(object: object): object;
  /** What is wrong with the message. */
  verify(message: object): string | null;
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: { longs: typeof String; bytes: typeof String; json: boolean }): object;
}

const { ExportTraceServiceRequest } = (
  root as unknown as {
    opentelemetry: { proto: { collector: { trace: { v1: { ExportTraceServiceRequest: MessageType } } } } };
  }
).opentelemetry.proto.collector.trace.v1;

/** How many hex digits an id has. */
const ID_DIGITS: Readonly<Record<string, number>> = { traceId: 32, spanId: 16, parentSpanId: 16 };

/** Readers in C++ and Java stop at this depth of messages, and refuse the request. */
const MAX_DEPTH = 100;

/**
 * Reads an OTLP/JSON trace request.
 * @throws for anything that a reader of OTLP could stumble over
 */
export function decodeTraces(text: string): DecodedTraces {
  const input: unknown = JSON.parse(text);
  if (countKeys(text) !== keysWithin(input)) throw new Error("a key is there twice");
  const object = toProtobuf(input, 0) as object;
  const message = ExportTraceServiceRequest.fromObject(object);
  const problem = ExportTraceServiceRequest.verify(message);
  if (problem !== null) throw new Error(problem);
  const wire = ExportTraceServiceRequest.encode(message).finish();
  const output = fromProtobuf(
    ExportTraceServiceRequest.toObject(ExportTraceServiceRequest.decode(wire), {
      longs: String,
      bytes: String,
      json: true,
    }),
  );
  deepStrictEqual(output, withoutEmptyLists(input));
  return output as DecodedTraces;
}

/** The keys that the text writes. Within a string nothing counts. */
function countKeys(text: string): number {
  let keys = 0;
  for (const [, colon] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"\s*(:)?/g)) if (colon !== undefined) keys++;
  return keys;
}

function keysWithin(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const own = Array.isArray(value) ? 0 : Object.keys(value).length;
  return Object.values(value).reduce((sum: number, each) => sum + keysWithin(each), own);
}

/** Ids become the base64 that protobufjs takes for bytes; all else stays, once it has been looked at. */
function toProtobuf(value: unknown, depth: number): unknown {
  if (typeof value === "string" && !value.isWellFormed()) throw new Error("a string is not Unicode");
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    checkKeys(value);
    return value.map((each) => toProtobuf(each, depth));
  }
  if (depth > MAX_DEPTH) throw new Error("messages nest too deep");
  const entries = Object.entries(value).map(([key, each]) => {
    const digits = ID_DIGITS[key];
    return [key, digits === undefined ? toProtobuf(each, depth + 1) : idToBase64(each, digits)];
  });
  return Object.fromEntries(entries);
}

/** Attribute keys are unique (OpenTelemetry specification, "Attribute Collections") and not empty. */
function checkKeys(list: readonly unknown[]): void {
  const keys = list.flatMap((each) => (typeof each === "object" && each !== null && "key" in each ? [each.key] : []));
  if (keys.includes("")) throw new Error("an attribute has no key");
  if (new Set(keys).size !== keys.length) throw new Error("an attribute is there twice");
}

function idToBase64(id: unknown, digits: number): string {
  const isId = typeof id === "string" && id.length === digits && /^[0-9a-f]*[1-9a-f][0-9a-f]*$/.test(id);
  if (!isId) throw new Error(`${JSON.stringify(id)} is no id of ${digits} digits`);
  return Buffer.from(id, "hex").toString("base64");
}

function fromProtobuf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromProtobuf);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, each]) => [
    key,
    key in ID_DIGITS ? Buffer.from(each, "base64").toString("hex") : fromProtobuf(each),
  ]);
  return Object.fromEntries(entries);
}

/** On the wire a list without elements is not there. */
function withoutEmptyLists(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyLists);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => !(Array.isArray(each) && each.length === 0));
  return Object.fromEntries(entries.map(([key, each]) => [key, withoutEmptyLists(each)]));
}
