/**
 * A value as JSON of at most `maxLength` UTF-16 code units. Where it would be longer, its strings are cut, and if that is not
 * enough, it becomes one string with the beginning of its JSON: always JSON, never cut in the middle.
 */
export function boundedJson(value: unknown, maxLength: number): string {
  const whole = JSON.stringify(value) ?? "null";
  if (whole.length <= maxLength) return whole;
  for (let limit = maxLength >> 1; limit >= 16; limit >>= 2) {
    const shorter = JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === "string" && inner.length > limit ? `${inner.slice(0, limit)}…` : inner,
    );
    if (shorter.length <= maxLength) return shorter;
  }
  // Escaping at most doubles what JSON.stringify has written already; half a character at the cut takes six.
  return JSON.stringify(`${whole.slice(0, Math.max(0, (maxLength >> 1) - 6))}…`);
}
