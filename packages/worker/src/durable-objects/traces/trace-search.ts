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
  const wanted = query.toLowerCase();
  // A word stands in the JSON as it is; other characters may be escaped there.
  const words = wanted.match(/[a-z0-9]+/g) ?? [];
  return {
    mayMatch(request) {
      const text = request.toLowerCase();
      return words.every((word) => text.includes(word));
    },
    matches: ({ name, attributes = [] }) =>
      name.toLowerCase().includes(wanted) ||
      attributes.some(({ key, value }) => `${key}=${valueText(value)}`.toLowerCase().includes(wanted)),
  };
}

function valueText(value: object): string {
  const [content = ""] = Object.values(value);
  return typeof content === "object" ? JSON.stringify(content) : String(content);
}
