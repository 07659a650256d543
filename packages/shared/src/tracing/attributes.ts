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
  /** How many different keys are kept. */
  readonly count: number;
  /** How many UTF-16 code units of a string are kept, also of those in arrays. */
  readonly valueLength: number;
  /** Rewrites a string before it is kept. Must not throw. */
  readonly redact: Redact;
}

/** Keeps one attribute; the last value of a key wins. Returns how many were dropped: 0 or 1. */
export function putAttribute(list: AttributeList, key: string, value: unknown, rules: AttributeRules): number {
  if (value === undefined) return 0;
  const clean = cleanValue(key, value, rules);
  if (clean === undefined || key === "") return 1;
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
  for (const key in attributes) dropped += putAttribute(list, key, attributes[key], rules);
  return dropped;
}

/** The list as an object, for tests and for display. */
export function attributesToObject(list: readonly (string | AttributeValue)[]): Record<string, AttributeValue> {
  const object: Record<string, AttributeValue> = {};
  for (let i = 0; i < list.length; i += 2) object[list[i] as string] = list[i + 1] as AttributeValue;
  return object;
}

/** A copy that no caller can change later; `undefined` for what OTLP has no value for (functions, symbols, objects). */
function cleanValue(key: string, value: unknown, rules: AttributeRules): AttributeValue | undefined {
  switch (typeof value) {
    case "string": {
      const text = rules.redact(key, value);
      return text.length > rules.valueLength ? cutText(text, rules.valueLength) : text;
    }
    case "number":
    case "boolean":
    case "bigint":
      return value;
    case "object":
      if (Array.isArray(value)) return value.map((each) => cleanValue(key, each, rules) ?? null);
      if (value instanceof Uint8Array) return value.slice();
      return value === null ? null : undefined;
    default:
      return undefined;
  }
}

/** Cuts at `length` code units, or one earlier where that would halve a character. */
function cutText(text: string, length: number): string {
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length);
}
