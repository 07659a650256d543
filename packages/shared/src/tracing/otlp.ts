import { type AttributeList, type Attributes, type AttributeValue, KEEP_ALL, putAttributes } from "./attributes.ts";
import { HAS_IS_REMOTE, IS_REMOTE } from "./codes.ts";
import type { SpanContext } from "./context.ts";
import { remember } from "./remember.ts";
import type { ReadableSpan, Scope, SpanEvent, SpanLink } from "./span.ts";
import { formatNanos } from "./time.ts";

const INT64_BOUND = 2 ** 63;

/** Who emits: at least `service.name`. */
export type Resource = Attributes;

/**
 * Spans as the JSON text of one `ExportTraceServiceRequest` (OTLP, "JSON Protobuf Encoding"). Resource, scope and status
 * are always present: backends have crashed on their absence.
 *
 * The text is one growing concatenation rather than objects for `JSON.stringify`: engines keep it as a rope that is
 * written once, and text that repeats from span to span is escaped once.
 */
export function encodeTraces(resource: Resource, spans: readonly ReadableSpan[]): string {
  const scopes = [...new Set(spans.map((span) => span.scope))];
  const scopeSpans = join(scopes, (scope) => {
    const ofScope = spans.filter((span) => span.scope === scope);
    return `{"scope":${encodeScope(scope)},"spans":[${join(ofScope, encodeSpan)}]}`;
  });
  return `{"resourceSpans":[${scopeSpans && `{"resource":${encodeResource(resource)},"scopeSpans":[${scopeSpans}]}`}]}`;
}

/** A resource as it stands within `resourceSpans`. */
export function encodeResource(resource: Resource): string {
  const list: AttributeList = [];
  putAttributes(list, resource, KEEP_ALL);
  return `{"attributes":${attributesText(list)}}`;
}

/** A scope as it stands within `scopeSpans`. */
export function encodeScope({ name, version }: Scope): string {
  return `{"name":${quote(name)}${version === undefined ? "" : `,"version":${quote(version)}`}}`;
}

/** One span as it stands within `scopeSpans.spans`, for a store that puts requests together later. */
export function encodeSpan(span: ReadableSpan): string {
  const { parent, endTime, statusMessage } = span;
  return (
    // The W3C flags are the span's own; the remote bits tell of its parent, and a root's is known not to be remote.
    `{${contextText(span.context, parent?.isRemote)}${parent ? `,"parentSpanId":"${parent.spanId}"` : ""}` +
    `,"name":${quote(span.name)},"kind":${span.kind},"startTimeUnixNano":"${formatNanos(span.startTime)}"` +
    (endTime ? `,"endTimeUnixNano":"${formatNanos(endTime)}"` : "") +
    partText(span) +
    listText("events", span.events, eventText) +
    countText("Events", span.droppedEvents) +
    listText("links", span.links, linkText) +
    countText("Links", span.droppedLinks) +
    `,"status":{"code":${span.statusCode}${statusMessage && `,"message":${quote(statusMessage)}`}}}`
  );
}

function eventText(event: SpanEvent): string {
  return `{"timeUnixNano":"${formatNanos(event.time)}","name":${quote(event.name)}${partText(event)}}`;
}

function linkText(link: SpanLink): string {
  return `{${contextText(link.context, link.context.isRemote)}${partText(link)}}`;
}

function contextText({ traceId, spanId, traceState, traceFlags }: SpanContext, isRemote = false): string {
  const state = traceState && `,"traceState":${quote(traceState)}`;
  const flags = traceFlags | HAS_IS_REMOTE | (isRemote ? IS_REMOTE : 0);
  return `"traceId":"${traceId}","spanId":"${spanId}"${state},"flags":${flags}`;
}

/** What spans, events and links have alike. */
function partText({ attributes, droppedAttributes }: Pick<ReadableSpan, "attributes" | "droppedAttributes">): string {
  const text = attributes.length > 0 ? `,"attributes":${attributesText(attributes)}` : "";
  return text + countText("Attributes", droppedAttributes);
}

function listText<T>(name: string, items: readonly T[], write: (item: T) => string): string {
  return items.length > 0 ? `,"${name}":[${join(items, write)}]` : "";
}

function countText(name: string, dropped: number): string {
  return dropped > 0 ? `,"dropped${name}Count":${dropped}` : "";
}

function join<T>(items: readonly T[], write: (item: T) => string): string {
  let text = "";
  for (const item of items) text += (text && ",") + write(item);
  return text;
}

function attributesText(list: Readonly<AttributeList>): string {
  let text = "[";
  for (let i = 0; i < list.length; i += 2) {
    const key = list[i] as string;
    // Keys that are no text are told apart by their escaped form: made well-formed, two of them may become one.
    const name = quote(key.isWellFormed() ? key : JSON.stringify(key));
    text += `${i ? "," : ""}{"key":${name},"value":${valueText(list[i + 1])}}`;
  }
  return `${text}]`;
}

function valueText(value: AttributeValue | undefined): string {
  switch (typeof value) {
    case "string":
      return `{"stringValue":${quote(value)}}`;
    case "boolean":
      return `{"boolValue":${value}}`;
    case "number":
      return numberText(value);
    case "bigint":
      // What does not fit is kept to the digit as text (OpenTelemetry specification, "Mapping to AnyValue").
      return `{"${BigInt.asIntN(64, value) === value ? "int" : "string"}Value":"${value}"}`;
  }
  if (!value) return "{}";
  if (value instanceof Uint8Array) {
    return `{"bytesValue":"${btoa(value.reduce((binary, byte) => binary + String.fromCharCode(byte), ""))}"}`;
  }
  return `{"arrayValue":{"values":[${join(value, valueText)}]}}`;
}

function numberText(value: number): string {
  if (Object.is(value, -0)) return '{"doubleValue":-0.0}';
  if (Number.isInteger(value) && Math.abs(value) < INT64_BOUND) {
    // Beyond 2^53 a number prints rounded digits, which as an int64 would be another number.
    return `{"intValue":"${Number.isSafeInteger(value) ? value : BigInt(value)}"}`;
  }
  return `{"doubleValue":${Number.isFinite(value) ? value : `"${value}"`}}`;
}

/** A JSON string. A lone surrogate is no text: strict decoders refuse the whole request for one. */
const quote = remember((text) => JSON.stringify(text.toWellFormed()));
