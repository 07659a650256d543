/** What is selected on the session's page, in its URL: the conversation and the timeline show the same. Pure. */

export interface SessionSearch {
  /** The selected message, or workflow. */
  readonly message?: string;
  /** The selected span, 16 hex digits. */
  readonly span?: string;
  /** Only this channel. */
  readonly channel?: string;
  /** Where there is room for one only: the timeline instead of the conversation. */
  readonly tab?: "timeline";
}

/** Reads the search of a URL; what is malformed counts as absent. */
export function parseSessionSearch(search: Readonly<Record<string, unknown>>): SessionSearch {
  const { tab } = search;
  const [message, span, channel] = [search.message, search.span, search.channel].map(textOf);
  return {
    ...(message !== undefined && /^[\w.:-]{1,128}$/.test(message) && { message }),
    ...(span !== undefined && /^[0-9a-f]{16}$/.test(span) && { span }),
    ...(channel !== undefined && channel !== "" && channel.length <= 128 && { channel }),
    ...(tab === "timeline" && { tab }),
  };
}

/** Numbers and booleans come as such. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" ? value : undefined;
}
