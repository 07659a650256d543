import { type AttributeList, type Attributes, type AttributeValue, KEEP_ALL, putAttributes } from "./attributes.ts";
import { HAS_IS_REMOTE, IS_REMOTE } from "./codes.ts";
import type { SpanContext } from "./context.ts";
import { bytesOf, endItems, part, textOf, writeDigits, writePart, writePlain, writeText } from "./json-writer.ts";
import type { ReadableSpan, Scope, SpanEvent, SpanLink } from "./readable-span.ts";
import type { EpochTime } from "./time.ts";

/** The attributes of the entity that emits spans: at least `service.name`. */
export type Resource = Attributes;

const INT64_BOUND = 2 ** 63;

/**
 * Encodes spans as one `ExportTraceServiceRequest` in JSON (OTLP, "JSON Protobuf Encoding"). Resource, scope and status are always
 * present: backends have crashed on their absence.
 * @returns UTF-8
 */
export function encodeTracesAsBytes(resource: Resource, spans: readonly ReadableSpan[]): Uint8Array<ArrayBuffer> {
  return bytesOf(() => writeTraces(resource, spans));
}

/** Like {@link encodeTracesAsBytes}, as text. */
export function encodeTraces(resource: Resource, spans: readonly ReadableSpan[]): string {
  return textOf(() => writeTraces(resource, spans));
}

/** Encodes one element of `scopeSpans.spans`, for a store that assembles requests later. */
export function encodeSpan(span: ReadableSpan): string {
  return textOf(() => writeSpan(span));
}

/** Encodes the `scope` of a `scopeSpans` element. */
export function encodeScope(scope: Scope): string {
  return textOf(() => writeScope(scope));
}

/** Encodes the `resource` of a `resourceSpans` element. */
export function encodeResource(resource: Resource): string {
  return textOf(() => writeResource(resource));
}

function writeTraces(resource: Resource, spans: readonly ReadableSpan[]): void {
  const scopes = [...new Set(spans.map(({ scope }) => scope))];
  writePlain('{"resourceSpans":[');
  if (scopes.length > 0) {
    writePlain('{"resource":');
    writeResource(resource);
    writePlain(',"scopeSpans":[');
    writeList(scopes, (scope) => {
      writePlain('{"scope":');
      writeScope(scope);
      writePlain(',"spans":[');
      writeList(
        spans.filter((span) => span.scope === scope),
        writeSpan,
      );
      writePlain("]}");
    });
    writePlain("]}");
  }
  writePlain("]}");
}

function writeResource(resource: Resource): void {
  doubles = undefined;
  const list: AttributeList = [];
  putAttributes(list, resource, KEEP_ALL);
  writePlain('{"attributes":[');
  writeAttributeList(list);
  writePlain("]}");
}

function writeScope({ name, version }: Scope): void {
  writePlain('{"name":"');
  writeText(name);
  if (version !== undefined) {
    writePlain('","version":"');
    writeText(version);
  }
  writePlain('"}');
}

const TRACE_ID = part('{"traceId":"');
const SPAN_ID = part('","spanId":"');
const TRACE_STATE = part('","traceState":"');
const PARENT_SPAN_ID = part('","parentSpanId":"');
const FLAGS = part('","flags":');
const NAME = part(',"name":"');
const KIND = part('","kind":');
const START_TIME = part(',"startTimeUnixNano":"');
const END_TIME = part('","endTimeUnixNano":"');
const EVENTS = part(',"events":[');
const EVENT_TIME = part('{"timeUnixNano":"');
const EVENT_NAME = part('","name":"');
const LINKS = part(',"links":[');
const STATUS = part(',"status":{"code":');
const ATTRIBUTES = part(',"attributes":[');
const QUOTE = part('"');
const COMMA = part(",");
const END_LIST = part("]");
const END_OBJECT = part("}");

/** The `doubleKeys` of the span that is being written; they apply to its events and links, too. */
let doubles: ReadonlySet<string> | undefined;

function writeSpan(span: ReadableSpan): void {
  const { parent, endTime } = span;
  doubles = span.doubleKeys;
  writeIds(span.context);
  if (parent !== undefined) {
    writePart(PARENT_SPAN_ID);
    writePlain(parent.spanId);
  }
  // The W3C flags are the span's own. The remote bits describe its parent; for a root they state that it is not remote.
  writeFlags(span.context, parent?.isRemote ?? false);
  writePart(NAME);
  writeText(span.name);
  writePart(KIND);
  writePlain(String(span.kind));
  writePart(START_TIME);
  writeTime(span.startTime);
  if (endTime !== undefined) {
    writePart(END_TIME);
    writeTime(endTime);
  }
  writePart(QUOTE);
  writeAttributes(span);
  if (span.events.length > 0) {
    writePart(EVENTS);
    writeList(span.events, writeEvent);
    writePart(END_LIST);
  }
  writeCount("Events", span.droppedEvents);
  if (span.links.length > 0) {
    writePart(LINKS);
    writeList(span.links, writeLink);
    writePart(END_LIST);
  }
  writeCount("Links", span.droppedLinks);
  writePart(STATUS);
  writePlain(String(span.statusCode));
  if (span.statusMessage !== "") {
    writePlain(',"message":"');
    writeText(span.statusMessage);
    writePart(QUOTE);
  }
  writePlain("}}");
}

function writeEvent(event: SpanEvent): void {
  writePart(EVENT_TIME);
  writeTime(event.time);
  writePart(EVENT_NAME);
  writeText(event.name);
  writePart(QUOTE);
  writeAttributes(event);
  writePart(END_OBJECT);
}

function writeLink(link: SpanLink): void {
  writeIds(link.context);
  writeFlags(link.context, link.context.isRemote);
  writeAttributes(link);
  writePart(END_OBJECT);
}

function writeIds({ traceId, spanId, traceState }: SpanContext): void {
  writePart(TRACE_ID);
  writePlain(traceId);
  writePart(SPAN_ID);
  writePlain(spanId);
  if (traceState !== "") {
    writePart(TRACE_STATE);
    writeText(traceState);
  }
}

function writeFlags({ traceFlags }: SpanContext, isRemote: boolean): void {
  writePart(FLAGS);
  writePlain(String(traceFlags | HAS_IS_REMOTE | (isRemote ? IS_REMOTE : 0)));
}

/** Writes epoch nanoseconds as a decimal string without leading zeros. */
function writeTime({ seconds, nanos }: EpochTime): void {
  if (seconds === 0) {
    writePlain(String(nanos));
  } else {
    writePlain(String(seconds));
    writeDigits(nanos, 9);
  }
}

/** Writes the attributes of a span, an event or a link, and how many were dropped. */
function writeAttributes({
  attributes,
  droppedAttributes,
}: Pick<ReadableSpan, "attributes" | "droppedAttributes">): void {
  if (attributes.length > 0) {
    writePart(ATTRIBUTES);
    writeAttributeList(attributes);
    writePart(END_LIST);
  }
  writeCount("Attributes", droppedAttributes);
}

function writeCount(name: string, dropped: number): void {
  if (dropped > 0) writePlain(`,"dropped${name}Count":${dropped}`);
}

function writeList<T>(items: readonly T[], write: (item: T) => void): void {
  for (let i = 0; i < items.length; i++) {
    if (i > 0) writePart(COMMA);
    write(items[i] as T);
  }
}

function writeAttributeList(list: Readonly<AttributeList>): void {
  for (let i = 0; i < list.length; i += 2) writeValue(list[i + 1], list[i] as string, IN_ATTRIBUTE);
  endItems();
}

/** Returns the bytes that begin a value of one type, by the key of its attribute. They are cached: a program uses few keys. */
type Opening = (key: string) => Uint8Array;
const MAX_KEYS = 1000;
const MAX_KEY_LENGTH = 128;
/** The key of values in arrays, which have none. */
const NO_KEY = "";

function opening(value: string): Opening {
  const known = new Map([[NO_KEY, part(value)]]);
  return (key) => {
    let bytes = known.get(key);
    if (bytes === undefined) {
      // Keys with lone surrogates are written escaped: replacing those could make two keys equal.
      bytes = part(`{"key":${JSON.stringify(key.isWellFormed() ? key : JSON.stringify(key))},"value":${value}`);
      if (key.length <= MAX_KEY_LENGTH && known.size < MAX_KEYS) known.set(key, bytes);
    }
    return bytes;
  };
}

const STRING = opening('{"stringValue":"');
const INT = opening('{"intValue":"');
const DOUBLE = opening('{"doubleValue":');
const TRUE = opening('{"boolValue":true');
const FALSE = opening('{"boolValue":false');
const BYTES = opening('{"bytesValue":"');
const ARRAY = opening('{"arrayValue":{"values":[');
const EMPTY = opening("{");

/** The bytes that end a value, up to the next one, in an attribute list or in an array. */
interface Ending {
  readonly plain: Uint8Array;
  readonly quoted: Uint8Array;
}

const IN_ATTRIBUTE: Ending = { plain: part("}},"), quoted: part('"}},') };
const IN_ARRAY: Ending = { plain: part("},"), quoted: part('"},') };

function writeValue(value: AttributeValue | undefined, key: string, ending: Ending): void {
  if (typeof value === "string") {
    writePart(STRING(key));
    writeText(value);
    writePart(ending.quoted);
  } else if (typeof value === "number") {
    writeNumber(value, key, ending);
  } else if (typeof value === "boolean") {
    writePart((value ? TRUE : FALSE)(key));
    writePart(ending.plain);
  } else {
    writeRare(value, key, ending);
  }
}

function writeNumber(value: number, key: string, { plain, quoted }: Ending): void {
  if (Number.isInteger(value) && Math.abs(value) < INT64_BOUND && !Object.is(value, -0) && !doubles?.has(key)) {
    writePart(INT(key));
    // Beyond 2^53 `String` prints rounded digits, which would be another int64.
    writePlain(String(Number.isSafeInteger(value) ? value : BigInt(value)));
    writePart(quoted);
  } else {
    writePart(DOUBLE(key));
    writePlain(Object.is(value, -0) ? "-0.0" : Number.isFinite(value) ? String(value) : `"${value}"`);
    writePart(plain);
  }
}

function writeRare(value: AttributeValue | undefined, key: string, ending: Ending): void {
  const { plain, quoted } = ending;
  if (typeof value === "bigint" && doubles?.has(key)) {
    writeNumber(Number(value), key, ending);
  } else if (typeof value === "bigint") {
    // A bigint beyond int64 becomes a string with all digits (OpenTelemetry specification, "Mapping to AnyValue").
    writePart((BigInt.asIntN(64, value) === value ? INT : STRING)(key));
    writePlain(String(value));
    writePart(quoted);
  } else if (value instanceof Uint8Array) {
    writePart(BYTES(key));
    writePlain(toBase64(value));
    writePart(quoted);
  } else if (Array.isArray(value)) {
    writePart(ARRAY(key));
    for (const each of value) writeValue(each, NO_KEY, IN_ARRAY);
    endItems();
    writePart(END_LIST);
    writePart(END_OBJECT);
    writePart(plain);
  } else {
    writePart(EMPTY(key));
    writePart(plain);
  }
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
