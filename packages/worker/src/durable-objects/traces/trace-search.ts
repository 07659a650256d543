/** Which spans a search finds. Pure. */
import type { WireSpan } from "./trace-text.ts";

export interface Matcher {
  /** Returns false if no span in the text of a request can match, without parsing it. */
  mayMatch(request: string): boolean;
  matches(span: WireSpan): boolean;
}

/**
 * Returns what finds the spans with a text in their name, or in one of their attributes as `key=value`; case does not count. Lists
 * and bytes are searched as OTLP/JSON writes them.
 */
export function matcherOf(query: string): Matcher {
  const wanted = withoutCase(query);
  // A word stands in the JSON as it is; other characters may be escaped there.
  const words = wanted.match(/[A-Z0-9]+/g) ?? [];
  return {
    mayMatch(request) {
      const text = withoutCase(request);
      return words.every((word) => text.includes(word));
    },
    matches: ({ name, attributes = [] }) =>
      withoutCase(name).includes(wanted) ||
      attributes.some(({ key, value }) => withoutCase(`${key}=${valueText(value)}`).includes(wanted)),
  };
}

/**
 * Returns a text in which case does not count. Lower case alone would not do: that of a sigma depends on what follows it, and ß has
 * capital letters, but SS no small ones that equal it.
 */
function withoutCase(text: string): string {
  return text.toLowerCase().toUpperCase();
}

function valueText(value: object): string {
  const [content = ""] = Object.values(value);
  return typeof content === "object" ? JSON.stringify(content) : String(content);
}
