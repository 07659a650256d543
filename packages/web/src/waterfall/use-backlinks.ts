import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { backlinksQuery } from "../api/backlinks.ts";
import { useSessionEvents } from "../api/use-session-events.ts";
import { type Tie, tiesBySpan } from "./rows.ts";

export interface Backlinks {
  /** The links to a trace's spans, by the id of the span that they lead to. */
  readonly bySpan: ReadonlyMap<string, readonly Tie[]>;
  /** `more`: the trace has more links to it than are read. */
  readonly state: "loading" | "failed" | "ready" | "more";
}

const NONE: ReadonlyMap<string, readonly Tie[]> = new Map();

/** Which spans of the session link to a trace, live. */
export function useBacklinks(sessionId: string, traceId: string): Backlinks {
  const queryClient = useQueryClient();
  const query = backlinksQuery(sessionId, traceId);
  const { data, isError } = useQuery(query);
  useSessionEvents(sessionId, (event) => {
    if (event.type !== "spans") return;
    const isLinked = event.traces.some(({ chunk }) => chunk.links.some(([, target]) => target === traceId));
    if (isLinked) void queryClient.invalidateQueries({ queryKey: query.queryKey }, { cancelRefetch: false });
  });
  const bySpan = useMemo(() => (data === undefined ? NONE : tiesBySpan(traceId, data.backlinks)), [data, traceId]);
  if (data === undefined) return { bySpan, state: isError ? "failed" : "loading" };
  return { bySpan, state: data.hasMore ? "more" : "ready" };
}
