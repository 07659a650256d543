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
  const { message, span, channel, tab } = search;
  return {
    ...(isText(message) && /^[\w.:-]{1,128}$/.test(message) && { message }),
    ...(isText(span) && /^[0-9a-f]{16}$/.test(span) && { span }),
    ...(isText(channel) && channel !== "" && channel.length <= 128 && { channel }),
    ...(tab === "timeline" && { tab }),
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
