/** What an attribute may hold: OTLP's `AnyValue` without maps. `null` is the empty value. */
export type AttributeValue = string | number | bigint | boolean | null | Uint8Array | readonly AttributeValue[];

/** Attributes as callers give them. `undefined` means: not set. */
export type Attributes = { readonly [key: string]: AttributeValue | undefined };

/**
 * Attributes as a span keeps them: key, value, key, value, each key once. One flat array costs a third of the memory of an
 * object a span, and a span has too few attributes for a hash to win.
 */
export type AttributeList = (string | AttributeValue)[];

/**
 * Values in one array, those of nested arrays counted, and how deep arrays may nest. OTLP has no such limits, but an array
 * may hold itself, and protobuf readers give up at 100 levels, of which a nested array takes two.
 */
const MAX_ELEMENTS = 65_536;
const MAX_DEPTH = 32;

/** Rewrites the string value of an attribute. */
export type Redact = (key: string, value: string) => string;

/** What is done to every attribute as it is recorded: secrets out, long text cut. */
export interface AttributeRules {
  /** How many different keys are kept. */
  readonly count: number;
  /** How many UTF-16 code units of a string are kept, also of those in arrays, and how many bytes of binary values. */
  readonly valueLength: number;
  /** Rewrites a string before it is kept. Must not throw. */
  readonly redact: Redact;
}

/** For what has been cleaned already, or was written by the owner of the process. */
export const KEEP_ALL: AttributeRules = { count: Infinity, valueLength: Infinity, redact: (_key, value) => value };

/** Keeps one attribute; the last value of a key wins. Returns how many were dropped: 0 or 1. Never throws. */
export function putAttribute(list: AttributeList, key: string, value: unknown, rules: AttributeRules): number {
  if (value === undefined) return 0;
  let clean: AttributeValue | undefined;
  try {
    clean = cleanValue(key, value, rules);
  } catch {
    // A proxy, a getter among the elements, an array without end: what cannot be read is not kept.
  }
  if (clean === undefined || typeof key !== "string" || key === "") return 1;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === key) {
      list[i + 1] = clean;
      return 0;
    }
  }
  if (list.length >= 2 * rules.count) return 1;
  list.push(key, clean);
  return 0;
}

/** Keeps all of `attributes`. Returns how many were dropped. */
export function putAttributes(list: AttributeList, attributes: Attributes | undefined, rules: AttributeRules): number {
  let dropped = 0;
  for (const key in attributes) {
    try {
      dropped += putAttribute(list, key, attributes[key], rules);
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
 * @throws what reading the value throws; RangeError for an array past {@link MAX_ELEMENTS} or {@link MAX_DEPTH}
 */
export function cleanValue(key: string, value: unknown, rules: AttributeRules): AttributeValue | undefined {
  switch (typeof value) {
    case "string": {
      const text = textOf(rules.redact(key, value));
      return text.length > rules.valueLength ? cutText(text, rules.valueLength) : text;
    }
    case "number":
    case "boolean":
    case "bigint":
      return value;
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) return cleanArray(key, value, rules, { left: MAX_ELEMENTS }, 1);
      // Not `slice`: a Buffer's shares its memory.
      return value instanceof Uint8Array ? new Uint8Array(value.subarray(0, rules.valueLength)) : undefined;
    default:
      return undefined;
  }
}

function cleanArray(
  key: string,
  array: readonly unknown[],
  rules: AttributeRules,
  elements: { left: number },
  depth: number,
): AttributeValue[] {
  const { length } = array;
  elements.left -= length;
  if (elements.left < 0 || depth > MAX_DEPTH) throw new RangeError("array too large");
  // Not `map`: it leaves out the holes, and every element needs its place.
  return Array.from({ length }, (_, i) => {
    const each = array[i];
    return (
      (Array.isArray(each) ? cleanArray(key, each, rules, elements, depth + 1) : cleanValue(key, each, rules)) ?? null
    );
  });
}

/** Any value as text: callers without types give anything for a name. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "";
  }
}

/** Cuts at `length` code units, or one earlier where that would halve a character. */
function cutText(text: string, length: number): string {
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length);
}
