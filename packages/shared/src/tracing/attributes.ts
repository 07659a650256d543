/**
 * The most values of one array, including those of nested arrays, and how deep arrays may nest. OTLP has no such limits, but an
 * array may contain itself, and protobuf readers fail beyond 100 levels, of which a nested array takes two.
 */
const MAX_ELEMENTS = 65_536;
const MAX_DEPTH = 32;

/** The value of an attribute: OTLP's `AnyValue` without maps. `null` is the empty value. */
export type AttributeValue = string | number | bigint | boolean | null | Uint8Array | readonly AttributeValue[];

/** Attributes as callers pass them. `undefined` means: not set. */
export type Attributes = { readonly [key: string]: AttributeValue | undefined };

/**
 * Attributes as a span stores them: key, value, key, value, each key once. One flat array takes a third of the memory of an object
 * for each span, and a span has too few attributes for a hash table to be faster.
 */
export type AttributeList = (string | AttributeValue)[];

/** Rewrites the string value of an attribute. */
export type Redact = (key: string, value: string) => string;

/** The rules for every recorded attribute: secrets are removed, long values are truncated. */
export interface AttributeRules {
  /** The maximum length of strings, also in arrays, in UTF-16 code units; of binary values, in bytes. */
  readonly attributeValueLength: number;
  /** Rewrites a string before it is stored. Must not throw. */
  readonly redact: Redact;
}

/** No rules: for attributes that are redacted already, or that the owner of the process wrote. */
export const KEEP_ALL: AttributeRules = { attributeValueLength: Infinity, redact: (_key, value) => value };

/**
 * Stores one attribute; the last value of a key wins. Never throws.
 * @param most the maximum number of keys
 * @returns how many attributes were dropped: 0 or 1
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
    // Reading the value failed: a proxy, a getter among the elements, an endless array. It is dropped.
  }
  if (clean === undefined || typeof key !== "string" || !key) return 1;
  let i = 0;
  while (i < list.length && list[i] !== key) i += 2;
  if (i >= 2 * most) return 1;
  list[i] = key;
  list[i + 1] = clean;
  return 0;
}

/** Where a list is built before its length is known; taken while it is in use, since a getter may record an attribute, too. */
let scratch: AttributeList | undefined = [];

/** An event or a link while it is made. */
export interface Attributed {
  attributes: AttributeList;
  droppedAttributes: number;
}

/**
 * Gives an event or a link its attributes, which are complete, as a list with room for them and no more: in V8 a list that grows has
 * room for 17 items at first, and an event has few attributes. Never throws.
 * @param most the maximum number of keys
 * @returns `target`
 */
export function withList<T extends Attributed>(
  target: T,
  attributes: Attributes | undefined,
  rules: AttributeRules,
  most: number,
): T {
  const building = scratch ?? [];
  scratch = undefined;
  target.droppedAttributes = putAttributes(building, attributes, rules, most);
  target.attributes = building.slice();
  building.length = 0;
  scratch = building;
  return target;
}

/** Stores all of `attributes`. Never throws. @returns how many were dropped */
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

/** Returns the list as an object, for tests and for display. */
export function attributesToObject(list: readonly (string | AttributeValue)[]): Record<string, AttributeValue> {
  const entries: [string, AttributeValue][] = [];
  for (let i = 0; i < list.length; i += 2) entries.push([list[i] as string, list[i + 1] as AttributeValue]);
  return Object.fromEntries(entries);
}

/**
 * Returns a copy that no caller can change later; `undefined` for values that OTLP cannot represent (functions, symbols, objects).
 * @param room how many more elements the outermost array may contain
 * @param depth the depth of the array that contains the value
 * @throws what reading the value throws; RangeError for an array beyond {@link MAX_ELEMENTS} or {@link MAX_DEPTH}
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
      // The cut must not leave half of a surrogate pair.
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
      // Not `map`, which skips holes: every element keeps its index. Not the iterator, which may be endless.
      return Array.from({ length: value.length }, (_, i) => cleanValue(key, value[i], rules, room, depth + 1) ?? null);
    default:
      return undefined;
  }
}

/** Returns any value as text, since untyped callers may pass anything as a name. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "";
  }
}
