/** Reads a session's list of traces as far as it is needed. */
import type { TraceSummaryView } from "@valet/shared/protocol/session-api";
import type { ApiClient } from "./api-client.ts";
import { isWantedTrace, type TraceFilter } from "./trace-filter.ts";

/** How many traces are looked at, so that a filter that few traces pass does not read a long session's whole list. */
const MAX_LOOKED_AT = 2000;

export interface FoundTraces {
  readonly traces: readonly TraceSummaryView[];
  /** Whether there are further wanted ones. */
  readonly hasMore: boolean;
  /** How many of the newest traces were looked at, if there are more, which nobody looked at. */
  readonly lookedAt: number | undefined;
}

/** Returns the newest traces that are wanted, the newest first. */
export async function findTraces(
  api: Pick<ApiClient, "tracePage">,
  sessionId: string,
  filter: TraceFilter,
  limit: number,
): Promise<FoundTraces> {
  const traces: TraceSummaryView[] = [];
  let lookedAt = 0;
  let cursor: string | undefined;
  do {
    const page = await api.tracePage(sessionId, cursor);
    for (const trace of page.traces) {
      lookedAt++;
      // They come in the order of their beginnings.
      if (Date.parse(trace.startedAt) < (filter.sinceMs ?? -Infinity))
        return { traces, hasMore: false, lookedAt: undefined };
      if (!isWantedTrace(trace, filter)) continue;
      if (traces.length === limit) return { traces, hasMore: true, lookedAt: undefined };
      traces.push(trace);
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined && lookedAt < MAX_LOOKED_AT);
  return { traces, hasMore: false, lookedAt: cursor === undefined ? undefined : lookedAt };
}
