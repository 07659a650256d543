/** What is selected on the pages of a session: one selection for all of them, which stands in their URLs. Pure. */

export interface Selection {
  /** The selected message, or workflow. */
  readonly message?: string;
  /** The selected span, 16 hex digits. */
  readonly span?: string;
  /** The trace of the span or of the message, 32 hex digits. */
  readonly trace?: string;
  /** Only this channel. */
  readonly channel?: string;
}

export interface SessionSearch extends Selection {
  /** Where there is room for one only: the timeline instead of the conversation. */
  readonly tab?: "timeline";
}

/** Reads the search of a URL; what is malformed counts as absent. */
export function parseSessionSearch(search: Readonly<Record<string, unknown>>): SessionSearch {
  const { tab } = search;
  const [message, span, trace, channel] = [search.message, search.span, search.trace, search.channel].map(textOf);
  return {
    ...(message !== undefined && /^[\w.:-]{1,128}$/.test(message) && { message }),
    ...(span !== undefined && /^[0-9a-f]{16}$/.test(span) && { span }),
    ...(trace !== undefined && /^[0-9a-f]{32}$/.test(trace) && { trace }),
    ...(channel !== undefined && channel !== "" && channel.length <= 128 && { channel }),
    ...(tab === "timeline" && { tab }),
  };
}

/** Numbers and booleans come as such. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" ? value : undefined;
}

/** Returns the selection without one of its fields. */
export function without<K extends keyof Selection>(selection: Selection, key: K): Omit<Selection, K> {
  const { [key]: _left, ...rest } = selection;
  return rest;
}

/** Returns what is selected after one thing was: of what was selected before, only the channel stays. */
export function selecting({ channel }: Selection, next: Omit<Selection, "channel">): Selection {
  return { ...next, ...(channel !== undefined && { channel }) };
}

/** Returns whether two selections select the same thing. The trace counts only where nothing says it more exactly. */
export function selectsSame(one: Selection, other: Selection): boolean {
  const isExact = one.message !== undefined || one.span !== undefined;
  return one.message === other.message && one.span === other.span && (isExact || one.trace === other.trace);
}

/** Returns the selection of a search, without what else stands there. */
export function selectionIn({ tab: _tab, ...selection }: SessionSearch): Selection {
  return selection;
}

/** Where a page of a session is: its parameters and its search, as far as they are there. */
export interface SessionPlace {
  readonly traceId?: string | undefined;
  readonly messageId?: string | undefined;
  readonly search: Readonly<Record<string, unknown>>;
  readonly page: "session" | "trace" | "why" | "changes";
}

/**
 * Returns what is selected on a page of a session. What the page itself does not name stays as it was, if it belongs to what it names.
 * @param before what was selected on the page before
 */
export function selectionAt({ page, traceId, messageId, search }: SessionPlace, before: Selection): Selection {
  const here = parseSessionSearch(search);
  switch (page) {
    case "session":
      return selectionIn(here);
    case "trace": {
      if (traceId === undefined) return before;
      const ofTrace = before.trace === traceId ? before : selecting(before, {});
      return { ...without(ofTrace, "span"), trace: traceId, ...(here.span !== undefined && { span: here.span }) };
    }
    case "why":
      return messageId === undefined ? before : withMessage(before, messageId);
    case "changes": {
      const { from, to } = search;
      return typeof from === "string" && from === to && from !== "first" ? withMessage(before, from) : before;
    }
  }
}

function withMessage(before: Selection, message: string): Selection {
  return before.message === message ? before : selecting(before, { message });
}
