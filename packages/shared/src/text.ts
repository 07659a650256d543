/**
 * Shortens texts. Lengths are in UTF-16 code units, and no text is cut within a surrogate pair: half of one is no character, and
 * UTF-8 would replace it with another. Pure.
 */

const CUT = "…";

/** Returns the beginning of a text, at most `max` units. */
export function head(text: string, max: number): string {
  if (text.length <= max) return text;
  return text.slice(0, isHigh(text.charCodeAt(max - 1)) ? max - 1 : max);
}

/** Returns the end of a text, at most `max` units. */
export function tail(text: string, max: number): string {
  if (text.length <= max) return text;
  const from = text.length - max;
  return text.slice(isHigh(text.charCodeAt(from - 1)) && isLow(text.charCodeAt(from)) ? from + 1 : from);
}

/** Returns the text in at most `max` units; if it is longer, an ellipsis replaces its end. */
export function cutEnd(text: string, max: number): string {
  return text.length <= max ? text : head(text, max - CUT.length) + CUT;
}

/** Returns the text in at most `max` units; if it is longer, an ellipsis replaces its beginning. */
export function cutStart(text: string, max: number): string {
  return text.length <= max ? text : CUT + tail(text, max - CUT.length);
}

/** Returns the length of a text in UTF-8, in bytes. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Whether a text has at most `max` bytes in UTF-8. Most texts need not be encoded to tell. */
function fits(text: string, max: number): boolean {
  return text.length * MAX_UNIT_BYTES <= max || (text.length <= max && utf8Length(text) <= max);
}

/** A UTF-16 code unit takes at most three bytes in UTF-8. */
const MAX_UNIT_BYTES = 3;

/**
 * Returns a value as JSON in at most `max` bytes of UTF-8; `max` must be at least 5. If the JSON is longer, its strings are cut. If that is
 * not enough, entries are removed: from the middle of arrays, so that the first and the last message of a conversation stay, and
 * from the end of objects. An array or an object stays one, though it may become empty.
 */
export function boundedJson(value: unknown, max: number): string {
  const whole = JSON.stringify(value) ?? "null";
  if (fits(whole, max)) return whole;
  for (let limit = max >> 1; limit >= SHORTEST; limit >>= 2) {
    const shorter = JSON.stringify(value, (_key, inner: unknown) => cutString(inner, limit));
    if (fits(shorter, max)) return shorter;
  }
  for (let entries = max >> 3; entries >= FEWEST; entries >>= 1) {
    const shorter = JSON.stringify(value, (_key, inner: unknown) =>
      cutString(Array.isArray(inner) ? withoutMiddle(inner, entries) : firstOf(inner, entries), SHORTEST),
    );
    if (fits(shorter, max)) return shorter;
  }
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object") return "{}";
  // Two quotation marks, and at most six bytes for each unit, which is that of an escape.
  return JSON.stringify(cutEnd(String(value), Math.max(CUT.length, Math.floor((max - 2) / 6))));
}

/** Strings are cut to `SHORTEST` before entries are removed, and objects keep `FEWEST`: a message keeps its role and its parts. */
const SHORTEST = 16;
const FEWEST = 2;

function cutString(value: unknown, limit: number): unknown {
  return typeof value === "string" ? cutEnd(value, limit) : value;
}

function withoutMiddle(list: readonly unknown[], kept: number): readonly unknown[] {
  return list.length <= kept ? list : [...list.slice(0, Math.ceil(kept / 2)), ...list.slice(-Math.floor(kept / 2))];
}

function firstOf(value: unknown, kept: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  return entries.length <= kept ? value : Object.fromEntries(entries.slice(0, kept));
}

function isHigh(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

function isLow(unit: number): boolean {
  return (unit & 0xfc00) === 0xdc00;
}
