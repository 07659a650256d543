/**
 * Texts that are too long. Lengths are in UTF-16 code units, and no text is cut within a surrogate pair: half of one is no
 * character, and becomes another where the text is written as UTF-8. Pure.
 */

const CUT = "…";

/** Returns the beginning of a text, at most `max` long. */
export function head(text: string, max: number): string {
  if (text.length <= max) return text;
  return text.slice(0, isHigh(text.charCodeAt(max - 1)) ? max - 1 : max);
}

/** Returns the end of a text, at most `max` long. */
export function tail(text: string, max: number): string {
  if (text.length <= max) return text;
  const from = text.length - max;
  return text.slice(isHigh(text.charCodeAt(from - 1)) && isLow(text.charCodeAt(from)) ? from + 1 : from);
}

/** Returns the text in at most `max`, with an ellipsis where its end was cut off. */
export function cutEnd(text: string, max: number): string {
  return text.length <= max ? text : head(text, max - CUT.length) + CUT;
}

/** Returns the text in at most `max`, with an ellipsis where its beginning was cut off. */
export function cutStart(text: string, max: number): string {
  return text.length <= max ? text : CUT + tail(text, max - CUT.length);
}

/**
 * Returns a value as JSON in at most `max`. Where it would be longer, its strings are cut, and if that is not enough, it becomes
 * one string with the beginning of its JSON: always JSON, never cut in the middle.
 */
export function boundedJson(value: unknown, max: number): string {
  const whole = JSON.stringify(value) ?? "null";
  if (whole.length <= max) return whole;
  for (let limit = max >> 1; limit >= 16; limit >>= 2) {
    const shorter = JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === "string" ? cutEnd(inner, limit) : inner,
    );
    if (shorter.length <= max) return shorter;
  }
  // Quotation marks; and escaping at most doubles what JSON.stringify has written already.
  return JSON.stringify(cutEnd(whole, Math.max(CUT.length, (max - 2) >> 1)));
}

function isHigh(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

function isLow(unit: number): boolean {
  return (unit & 0xfc00) === 0xdc00;
}
