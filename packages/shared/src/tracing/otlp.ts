import { type AttributeList, type Attributes, type AttributeValue, KEEP_ALL, putAttributes } from "./attributes.ts";
import type { SpanContext } from "./context.ts";
import type { ReadableSpan, Scope, SpanEvent, SpanLink } from "./span.ts";
import { type EpochTime, formatNanos } from "./time.ts";

/** Who emits: at least `service.name`. */
export type Resource = Attributes;

/** `SpanFlags` of trace.proto: whether it is known that the context is remote, and whether it is. */
const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;
const W3C_FLAGS = 0xff;

const INT64_BOUND = 2 ** 63;

/**
 * Spans as the JSON text of one `ExportTraceServiceRequest` (OTLP, "JSON Protobuf Encoding"). Resource, scope and status
 * are always present: backends have crashed on their absence.
 *
 * The text is one growing concatenation rather than objects for `JSON.stringify`: engines keep it as a rope that is
 * written once, and text that repeats from span to span is escaped once a batch.
 */
export function encodeTraces(resource: Resource, spans: readonly ReadableSpan[]): string {
  const groups = new Map<Scope, ReadableSpan[]>();
  for (const span of spans) {
    const group = groups.get(span.scope);
    if (group === undefined) groups.set(span.scope, [span]);
    else group.push(span);
  }
  if (groups.size === 0) return '{"resourceSpans":[]}';
  const memo = createMemo();
  let text = `{"resourceSpans":[{"resource":${resourceText(resource, memo)},"scopeSpans":[`;
  let scopeEnd = "";
  for (const [scope, group] of groups) {
    text += `${scopeEnd}{"scope":${scopeText(scope)},"spans":[`;
    scopeEnd = "]},";
    let comma = "";
    for (const span of group) {
      text += comma + spanText(span, memo);
      comma = ",";
    }
  }
  return `${text}]}]}]}`;
}

/** One span as it stands within `scopeSpans.spans`, for a store that puts requests together later. */
export function encodeSpan(span: ReadableSpan): string {
  return spanText(span, createMemo());
}

/** A scope as it stands within `scopeSpans`. */
export function encodeScope(scope: Scope): string {
  return scopeText(scope);
}

/** A resource as it stands within `resourceSpans`. */
export function encodeResource(resource: Resource): string {
  return resourceText(resource, createMemo());
}

/** What repeats from span to span within a batch, written already. */
interface Memo {
  /** Attribute keys, up to their value. */
  readonly keys: Map<string, string>;
  /** Short strings, quoted. */
  readonly strings: Map<string, string>;
  seconds: number;
  secondsText: string;
}

function createMemo(): Memo {
  return { keys: new Map(), strings: new Map(), seconds: -1, secondsText: "" };
}

const MAX_MEMO_LENGTH = 64;
const MAX_MEMO_STRINGS = 2048;

function resourceText(resource: Resource, memo: Memo): string {
  const list: AttributeList = [];
  putAttributes(list, resource, KEEP_ALL);
  return `{"attributes":${attributesText(list, memo)}}`;
}

function scopeText({ name, version }: Scope): string {
  return `{"name":${quote(name)}${version === undefined ? "" : `,"version":${quote(version)}`}}`;
}

function spanText(span: ReadableSpan, memo: Memo): string {
  const { context, parent, attributes, events, links } = span;
  let text = `{"traceId":"${context.traceId}","spanId":"${context.spanId}"`;
  if (context.traceState !== "") text += `,"traceState":${quote(context.traceState)}`;
  if (parent !== undefined) text += `,"parentSpanId":"${parent.spanId}"`;
  // The W3C flags are the span's own; the remote bits tell of its parent, and a root's is known not to be remote.
  text += `,"flags":${flagsOf(context, parent?.isRemote ?? false)},"name":${memoQuote(span.name, memo)}`;
  text += `,"kind":${span.kind},"startTimeUnixNano":${timeText(span.startTime, memo)}`;
  if (span.endTime !== undefined) text += `,"endTimeUnixNano":${timeText(span.endTime, memo)}`;
  if (attributes.length > 0) text += `,"attributes":${attributesText(attributes, memo)}`;
  if (span.droppedAttributes > 0) text += `,"droppedAttributesCount":${span.droppedAttributes}`;
  if (events.length > 0) text += `,"events":[${events.map((event) => eventText(event, memo)).join(",")}]`;
  if (span.droppedEvents > 0) text += `,"droppedEventsCount":${span.droppedEvents}`;
  if (links.length > 0) text += `,"links":[${links.map((link) => linkText(link, memo)).join(",")}]`;
  if (span.droppedLinks > 0) text += `,"droppedLinksCount":${span.droppedLinks}`;
  const message = span.statusMessage === "" ? "" : `,"message":${quote(span.statusMessage)}`;
  return `${text},"status":{"code":${span.statusCode}${message}}}`;
}

function eventText({ name, time, attributes, droppedAttributes }: SpanEvent, memo: Memo): string {
  const head = `{"timeUnixNano":${timeText(time, memo)},"name":${memoQuote(name, memo)}`;
  return `${head}${partAttributesText(attributes, droppedAttributes, memo)}}`;
}

function linkText({ context, attributes, droppedAttributes }: SpanLink, memo: Memo): string {
  let head = `{"traceId":"${context.traceId}","spanId":"${context.spanId}"`;
  if (context.traceState !== "") head += `,"traceState":${quote(context.traceState)}`;
  head += `,"flags":${flagsOf(context, context.isRemote)}`;
  return `${head}${partAttributesText(attributes, droppedAttributes, memo)}}`;
}

function partAttributesText(list: Readonly<AttributeList>, dropped: number, memo: Memo): string {
  const attributes = list.length > 0 ? `,"attributes":${attributesText(list, memo)}` : "";
  return dropped > 0 ? `${attributes},"droppedAttributesCount":${dropped}` : attributes;
}

function flagsOf(context: SpanContext, isRemote: boolean): number {
  return (context.traceFlags & W3C_FLAGS) | HAS_IS_REMOTE | (isRemote ? IS_REMOTE : 0);
}

/** A time, quoted. Spans of a batch share their seconds. */
function timeText(time: EpochTime, memo: Memo): string {
  if (time.seconds !== memo.seconds) {
    memo.seconds = time.seconds;
    memo.secondsText = time.seconds > 0 ? `"${time.seconds}` : "";
  }
  if (memo.secondsText === "") return `"${formatNanos(time)}"`;
  return `${memo.secondsText}${String(1e9 + time.nanos).slice(1)}"`;
}

function attributesText(list: Readonly<AttributeList>, memo: Memo): string {
  let text = "[";
  for (let i = 0; i < list.length; i += 2) {
    const key = list[i] as string;
    const value = list[i + 1] as AttributeValue;
    let prefix = memo.keys.get(key);
    if (prefix === undefined) {
      // Keys that are no text are told apart by their escaped form: made well-formed, two of them may become one.
      prefix = `{"key":${quote(key.isWellFormed() ? key : JSON.stringify(key))},"value":`;
      memo.keys.set(key, prefix);
    }
    if (i > 0) text += ",";
    if (typeof value === "string") text += `${prefix}{"stringValue":${memoQuote(value, memo)}}}`;
    else text += `${prefix}${valueText(value)}}`;
  }
  return `${text}]`;
}

function valueText(value: AttributeValue): string {
  switch (typeof value) {
    case "string":
      return `{"stringValue":${quote(value)}}`;
    case "boolean":
      return `{"boolValue":${value}}`;
    case "number":
      return numberText(value);
    case "bigint":
      // What does not fit is kept to the digit as text (OpenTelemetry specification, "Mapping to AnyValue").
      return BigInt.asIntN(64, value) === value ? `{"intValue":"${value}"}` : `{"stringValue":"${value}"}`;
  }
  if (value === null || value === undefined) return "{}";
  if (value instanceof Uint8Array) return `{"bytesValue":"${toBase64(value)}"}`;
  return `{"arrayValue":{"values":[${value.map(valueText).join(",")}]}}`;
}

function numberText(value: number): string {
  if (Object.is(value, -0)) return '{"doubleValue":-0.0}';
  if (Number.isSafeInteger(value)) return `{"intValue":"${value}"}`;
  // Beyond 2^53 a number prints rounded digits, which as an int64 would be another number.
  if (Number.isInteger(value) && Math.abs(value) < INT64_BOUND) return `{"intValue":"${BigInt(value)}"}`;
  return Number.isFinite(value) ? `{"doubleValue":${value}}` : `{"doubleValue":"${value}"}`;
}

/** Looking a short string up costs less than looking through it. */
function memoQuote(text: string, memo: Memo): string {
  let quoted = memo.strings.get(text);
  if (quoted === undefined) {
    quoted = quote(text);
    if (text.length <= MAX_MEMO_LENGTH && memo.strings.size < MAX_MEMO_STRINGS) memo.strings.set(text, quoted);
  }
  return quoted;
}

/** A JSON string. Most need no escape, and looking costs less than `JSON.stringify`. */
function quote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON wants escaped
  if (!/["\\\u0000-\u001f\ud800-\udfff]/.test(text)) return `"${text}"`;
  // A lone surrogate is no text: strict decoders refuse the whole request for one.
  return JSON.stringify(text.toWellFormed());
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
