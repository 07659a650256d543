/**
 * Values in one array, those of nested arrays counted, and how deep arrays may nest. OTLP has no such limits, but an array
 * may hold itself, and protobuf readers give up at 100 levels, of which a nested array takes two.
 */
const MAX_ELEMENTS = 65_536;
const MAX_DEPTH = 32;

/** What an attribute may hold: OTLP's `AnyValue` without maps. `null` is the empty value. */
export type AttributeValue = string | number | bigint | boolean | null | Uint8Array | readonly AttributeValue[];

/** Attributes as callers give them. `undefined` means: not set. */
export type Attributes = { readonly [key: string]: AttributeValue | undefined };

/**
 * Attributes as a span keeps them: key, value, key, value, each key once. One flat array costs a third of the memory of an
 * object a span, and a span has too few attributes for a hash to win.
 */
export type AttributeList = (string | AttributeValue)[];

/** Rewrites the string value of an attribute. */
export type Redact = (key: string, value: string) => string;

/** What is done to every attribute as it is recorded: secrets out, long text cut. */
export interface AttributeRules {
  /** How many UTF-16 code units of a string are kept, also of those in arrays, and how many bytes of binary values. */
  readonly attributeValueLength: number;
  /** Rewrites a string before it is kept. Must not throw. */
  readonly redact: Redact;
}

/** For what has been cleaned already, or was written by the owner of the process. */
export const KEEP_ALL: AttributeRules = { attributeValueLength: Infinity, redact: (_key, value) => value };

/**
 * Keeps one attribute; the last value of a key wins. Never throws.
 * @param most how many different keys are kept
 * @returns how many were dropped: 0 or 1
 */
export function putAttribute(
  list: AttributeList,
  key: string,
  value: unknown,
  rules: AttributeRules,
  most = Infinity,
): number {
  if (value === undefined) return 0;
  let clean: AttributeValue | undefined;
  try {
    clean = cleanValue(key, value, rules);
  } catch {
    // A proxy, a getter among the elements, an array without end: what cannot be read is not kept.
  }
  if (clean === undefined || typeof key !== "string" || !key) return 1;
  let i = 0;
  while (i < list.length && list[i] !== key) i += 2;
  if (i >= 2 * most) return 1;
  list[i] = key;
  list[i + 1] = clean;
  return 0;
}

/** Keeps all of `attributes`. Returns how many were dropped. */
export function putAttributes(
  list: AttributeList,
  attributes: Attributes | undefined,
  rules: AttributeRules,
  most?: number,
): number {
  let dropped = 0;
  for (const key in attributes) {
    try {
      dropped += putAttribute(list, key, attributes[key], rules, most);
    } catch {
      // A getter threw.
      dropped++;
    }
  }
  return dropped;
}

/** The list as an object, for tests and for display. */
export function attributesToObject(list: readonly (string | AttributeValue)[]): Record<string, AttributeValue> {
  const entries: [string, AttributeValue][] = [];
  for (let i = 0; i < list.length; i += 2) entries.push([list[i] as string, list[i + 1] as AttributeValue]);
  return Object.fromEntries(entries);
}

/**
 * A copy that no caller can change later; `undefined` for what OTLP has no value for (functions, symbols, objects).
 * @param room how many elements the arrays within this one may still hold
 * @param depth of the array that holds the value
 * @throws what reading the value throws; RangeError for an array past {@link MAX_ELEMENTS} or {@link MAX_DEPTH}
 */
export function cleanValue(
  key: string,
  value: unknown,
  rules: AttributeRules,
  room?: { left: number },
  depth = 0,
): AttributeValue | undefined {
  switch (typeof value) {
    case "string": {
      const text = String(rules.redact(key, value));
      // No half of a character stays at the cut.
      return text.length > rules.attributeValueLength
        ? text.slice(0, rules.attributeValueLength).replace(/[\ud800-\udbff]$/, "")
        : text;
    }
    case "number":
    case "boolean":
    case "bigint":
      return value;
    case "object":
      if (value === null) return value;
      // Not `slice`: a Buffer's shares its memory.
      if (value instanceof Uint8Array) return new Uint8Array(value.subarray(0, rules.attributeValueLength));
      if (!Array.isArray(value)) return undefined;
      room ??= { left: MAX_ELEMENTS };
      room.left -= value.length;
      if (room.left < 0 || depth === MAX_DEPTH) throw new RangeError();
      // Not `map`: it leaves out the holes, and every element needs its place. Not by its iterator, which may have no end.
      return Array.from({ length: value.length }, (_, i) => cleanValue(key, value[i], rules, room, depth + 1) ?? null);
    default:
      return undefined;
  }
}

/** Any value as text: callers without types give anything for a name. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "";
  }
}
