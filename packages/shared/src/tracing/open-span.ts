import { type AttributeList, type AttributeValue, cleanValue, KEEP_ALL } from "./attributes.ts";
import { checkContext, type SpanContext } from "./context.ts";
import { isSpanKind, type OpenSpan, type SpanEvent, type SpanLink } from "./readable-span.ts";
import { type EpochTime, toEpochTime } from "./time.ts";

/** The version of the format, part of every serialised span. Other versions are not read. */
const FORMAT = 1;

/**
 * Values that JSON cannot represent are wrapped: `{"$": kind, "v": text}`. Attribute values are never maps, so this is
 * unambiguous.
 */
type Wrapped = { readonly $: "bigint" | "number" | "bytes"; readonly v: string };

/**
 * Serialises an open span, to store it beside the state it describes or to send it to another process. Secrets are redacted.
 * @param further attributes that only the text has, after the span's own
 */
export function serialiseSpan(span: OpenSpan, further: AttributeList = []): string {
  const open = withAttributes(span, [...span.attributes, ...further]);
  return JSON.stringify({ format: FORMAT, ...open }, isPlain(open) ? undefined : wrap);
}

/** Returns a copy with other attributes. A spread would not copy a recording span, which inherits what it does not have. */
export function withAttributes(span: OpenSpan, attributes: AttributeList): OpenSpan {
  const { context, parent, name, kind, startTime, events, links, statusCode, statusMessage } = span;
  const { droppedAttributes, droppedEvents, droppedLinks } = span;
  return {
    context,
    parent,
    name,
    kind,
    startTime,
    attributes,
    events,
    links,
    statusCode,
    statusMessage,
    droppedAttributes,
    droppedEvents,
    droppedLinks,
  };
}

/** Whether JSON represents all values as they are, as in most spans: a replacer costs several times the rest. */
function isPlain({ attributes, events, links }: OpenSpan): boolean {
  const isPlainList = (list: AttributeList | OpenSpan["attributes"]) => list.every(isPlainValue);
  // A program may define `toJSON` for all objects.
  return (
    !("toJSON" in attributes) &&
    isPlainList(attributes) &&
    [...events, ...links].every((each) => isPlainList(each.attributes))
  );
}

function isPlainValue(value: AttributeValue): boolean {
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (Array.isArray(value)) return value.every(isPlainValue);
  return typeof value === "string" || typeof value === "boolean" || value === null;
}

/**
 * Parses the output of {@link serialiseSpan}. Returns `undefined` for anything else, including other versions of the format; any
 * result can be resumed, exported and sent on.
 */
export function parseOpenSpan(text: string): OpenSpan | undefined {
  try {
    // Wrapped values are rare, and a reviver costs several times the rest. A key may be written with an escape.
    const mayHaveWrapped = text.includes('"$"') || text.includes("\\u0024");
    const { format, ...stored } = JSON.parse(text, mayHaveWrapped ? unwrap : undefined);
    return format === FORMAT ? readSpan(stored) : undefined;
  } catch {
    return undefined;
  }
}

/** A value that is not validated yet. Every reader below throws on an unexpected value. */
type Unchecked<T> = { readonly [K in keyof T]?: unknown };

function readSpan(stored: Unchecked<OpenSpan>): OpenSpan {
  const { kind, statusCode } = stored;
  check(isSpanKind(kind) && (statusCode === 0 || statusCode === 1 || statusCode === 2));
  return {
    context: readContext(stored.context),
    parent: stored.parent === undefined ? undefined : readContext(stored.parent),
    name: readText(stored.name),
    kind,
    startTime: readTime(stored.startTime),
    attributes: readAttributes(stored.attributes),
    events: readList(stored.events).map(readEvent),
    links: readList(stored.links).map(readLink),
    statusCode,
    statusMessage: readText(stored.statusMessage),
    droppedAttributes: readCount(stored.droppedAttributes),
    droppedEvents: readCount(stored.droppedEvents),
    droppedLinks: readCount(stored.droppedLinks),
  };
}

function readEvent(value: unknown): SpanEvent {
  const event = value as Unchecked<SpanEvent>;
  return {
    name: readText(event.name),
    time: readTime(event.time),
    attributes: readAttributes(event.attributes),
    droppedAttributes: readCount(event.droppedAttributes),
  };
}

function readLink(value: unknown): SpanLink {
  const link = value as Unchecked<SpanLink>;
  return {
    context: readContext(link.context),
    attributes: readAttributes(link.attributes),
    droppedAttributes: readCount(link.droppedAttributes),
  };
}

function readAttributes(value: unknown): AttributeList {
  const list = readList(value);
  const attributes = new Map<string, AttributeValue>();
  for (let i = 0; i < list.length; i += 2) {
    const key = readText(list[i]);
    const clean = cleanValue(key, list[i + 1], KEEP_ALL);
    check(key !== "" && clean !== undefined);
    attributes.set(key, clean);
  }
  check(attributes.size * 2 === list.length);
  return [...attributes].flat() as AttributeList;
}

function readContext(value: unknown): SpanContext {
  const context = checkContext(value);
  check(context !== undefined);
  return context;
}

function readTime(value: unknown): EpochTime {
  const { seconds, nanos } = value as EpochTime;
  const time = toEpochTime({ seconds, nanos });
  check(time !== undefined);
  return time;
}

function readText(value: unknown): string {
  check(typeof value === "string");
  return value;
}

/** Reads a `uint32`, OTLP's type of dropped counts. */
function readCount(value: unknown): number {
  check(typeof value === "number" && value >>> 0 === value);
  return value;
}

function readList(value: unknown): unknown[] {
  check(Array.isArray(value));
  return value;
}

function check(condition: boolean): asserts condition {
  if (!condition) throw new TypeError("not a serialised span");
}

/** Reads the raw value from its holder, since `value` is the result of `BigInt.prototype.toJSON`, which some programs define. */
function wrap(this: Readonly<Record<string, unknown>>, key: string): unknown {
  const value = this[key];
  if (typeof value === "bigint") return { $: "bigint", v: String(value) } satisfies Wrapped;
  if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { $: "number", v: Object.is(value, -0) ? "-0" : String(value) } satisfies Wrapped;
  }
  if (value instanceof Uint8Array) {
    return {
      $: "bytes",
      v: Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    } satisfies Wrapped;
  }
  return value;
}

function unwrap(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== "object" || !("$" in value)) return value;
  const { $, v } = value as Wrapped;
  if ($ === "bigint") return BigInt(v);
  if ($ === "number") return Number(v);
  return Uint8Array.from(v.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
