/** What of the trace page stands in the URL. Pure. */

export interface TraceSearch {
  /** The selected span. */
  readonly span?: string;
  /** The text that names and attributes are searched for. */
  readonly q?: string;
}

const LONGEST = 200;

/** Returns what a URL asks for. Whatever else stands there is ignored. */
export function parseTraceSearch({ span, q }: Record<string, unknown>): TraceSearch {
  // The router reads `?q=12` as a number.
  const text = typeof q === "string" ? q : typeof q === "number" ? String(q) : "";
  const written = typeof span === "number" ? String(span) : span;
  const id = typeof written === "string" && /^[0-9a-f]{16}$/.test(written) ? written : undefined;
  return { ...(id !== undefined && { span: id }), ...(text !== "" && text.length <= LONGEST && { q: text }) };
}
