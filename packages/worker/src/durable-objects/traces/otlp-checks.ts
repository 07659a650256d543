/** Checks that a backend can decode spans in OTLP/JSON, as strictly as the strictest decoder. Pure. */

/** A JSON object with fields still to be checked. */
export type Fields = { readonly [key: string]: unknown };

const MAX_UINT32 = 2 ** 32;
const MAX_DEPTH = 32;
const ATTRIBUTE_FIELDS = ["attributes", "droppedAttributesCount"];
const ID_FIELDS = ["traceId", "spanId", "traceState", "flags"];
const SPAN_FIELDS: ReadonlySet<string> = new Set([
  ...ID_FIELDS,
  ...ATTRIBUTE_FIELDS,
  "parentSpanId",
  "name",
  "kind",
  "startTimeUnixNano",
  "endTimeUnixNano",
  "events",
  "droppedEventsCount",
  "links",
  "droppedLinksCount",
  "status",
]);
const LINK_FIELDS: ReadonlySet<string> = new Set([...ID_FIELDS, ...ATTRIBUTE_FIELDS]);
const EVENT_FIELDS: ReadonlySet<string> = new Set(["timeUnixNano", "name", ...ATTRIBUTE_FIELDS]);
const STATUS_FIELDS: ReadonlySet<string> = new Set(["code", "message"]);
const KEY_VALUE_FIELDS: ReadonlySet<string> = new Set(["key", "value"]);
const LIST_FIELDS: ReadonlySet<string> = new Set(["values"]);

export function isSpan(span: unknown): span is Fields {
  return (
    isObject(span) &&
    isIdentified(span) &&
    optional(span.parentSpanId, isSpanIdText) &&
    isText(span.name) &&
    optional(span.kind, isUint32) &&
    isNanos(span.startTimeUnixNano) &&
    isNanos(span.endTimeUnixNano) &&
    isAttributed(span) &&
    listOf(span.events, isEvent) &&
    listOf(span.links, isLink) &&
    optional(span.droppedEventsCount, isUint32) &&
    optional(span.droppedLinksCount, isUint32) &&
    optional(span.status, isStatus) &&
    isPlainBeside(SPAN_FIELDS, span)
  );
}

/** Checks the fields that spans and links share. */
function isIdentified({ traceId, spanId, traceState, flags }: Fields): boolean {
  return isHex(traceId, 32) && isSpanIdText(spanId) && optional(traceState, isText) && optional(flags, isUint32);
}

function isLink(link: unknown): boolean {
  return isObject(link) && isIdentified(link) && isAttributed(link) && isPlainBeside(LINK_FIELDS, link);
}

function isEvent(event: unknown): boolean {
  return (
    isObject(event) &&
    isNanos(event.timeUnixNano) &&
    optional(event.name, isText) &&
    isAttributed(event) &&
    isPlainBeside(EVENT_FIELDS, event)
  );
}

function isStatus(status: unknown): boolean {
  return (
    isObject(status) &&
    optional(status.code, (code) => code === 0 || code === 1 || code === 2) &&
    optional(status.message, isText) &&
    isPlainBeside(STATUS_FIELDS, status)
  );
}

export function isScope(scope: Fields): boolean {
  return isAttributed(scope) && optional(scope.name, isText) && optional(scope.version, isText);
}

export function isAttributed({ attributes, droppedAttributesCount }: Fields): boolean {
  return listOf(attributes, isKeyValue) && optional(droppedAttributesCount, isUint32);
}

function isKeyValue(attribute: unknown): boolean {
  return isKeyValueAt(attribute, 0);
}

function isKeyValueAt(attribute: unknown, depth: number): boolean {
  if (!isObject(attribute) || !isText(attribute.key) || !isAnyValue(attribute.value, depth)) return false;
  return isPlainBeside(KEY_VALUE_FIELDS, attribute);
}

/** Checks an `AnyValue`: one of its fields, or none for the empty value. */
function isAnyValue(value: unknown, depth: number): boolean {
  if (!isObject(value) || depth > MAX_DEPTH) return false;
  let key: string | undefined;
  for (const each in value) {
    if (key !== undefined) return false;
    key = each;
  }
  if (key === undefined) return true;
  const content = value[key];
  switch (key) {
    case "stringValue":
    case "bytesValue":
      return isText(content);
    case "boolValue":
      return typeof content === "boolean";
    case "intValue":
      return isInt64(content);
    case "doubleValue":
      // `1e999` parses to Infinity, which JSON writes as null.
      return Number.isFinite(content) || content === "NaN" || content === "Infinity" || content === "-Infinity";
    case "arrayValue":
      return isList(content, (each) => isAnyValue(each, depth + 1));
    case "kvlistValue":
      return isList(content, (each) => isKeyValueAt(each, depth + 1));
    default:
      return false;
  }
}

/** Checks an `ArrayValue` or a `KeyValueList`. */
function isList(content: unknown, check: (each: unknown) => boolean): boolean {
  return isObject(content) && listOf(content.values, check) && isPlainBeside(LIST_FIELDS, content);
}

function isInt64(value: unknown): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "string" || !/^-?\d{1,19}$/.test(value)) return false;
  // 18 digits are always less than 2^63.
  return value.length <= 18 || BigInt.asIntN(64, BigInt(value)) === BigInt(value);
}

/** Checks a `fixed64` in decimal: 20 digits can hold 2^64, and 19 digits are always less. */
function isNanos(value: unknown): boolean {
  if (typeof value !== "string" || !/^\d{1,20}$/.test(value)) return false;
  return value.length <= 19 || BigInt.asUintN(64, BigInt(value)) === BigInt(value);
}

export function isSpanIdText(value: unknown): boolean {
  return isHex(value, 16);
}

export function isHex(value: unknown, digits: number): boolean {
  return typeof value === "string" && value.length === digits && /^[0-9a-f]*[1-9a-f][0-9a-f]*$/.test(value);
}

function isUint32(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_UINT32;
}

/** Checks for lone surrogates, for which strict decoders refuse the whole request. */
function isText(value: unknown): boolean {
  return typeof value === "string" && value.isWellFormed();
}

/**
 * Checks that unknown fields hold neither lists nor objects: nested deeper than a backend reads, they would make it
 * refuse the whole request.
 */
function isPlainBeside(known: ReadonlySet<string>, fields: Fields): boolean {
  for (const key in fields) {
    if (known.has(key)) continue;
    const other = fields[key];
    if (typeof other === "string" ? !other.isWellFormed() : typeof other === "object" && other !== null) return false;
  }
  return true;
}

export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function field(value: unknown, key: string): unknown {
  return isObject(value) ? value[key] : undefined;
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function listOf(value: unknown, check: (each: unknown) => boolean): boolean {
  return value === undefined || (Array.isArray(value) && value.every(check));
}

function optional(value: unknown, check: (value: unknown) => boolean): boolean {
  return value === undefined || check(value);
}
