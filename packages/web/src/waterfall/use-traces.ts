import { useCallback, useEffect, useReducer, useRef } from "react";
import { useSessionEvents } from "../api/use-session-events.ts";
import { LiveTrace } from "./live-trace.ts";
import type { Linked } from "./rows.ts";

export interface Traces {
  readonly of: (traceId: string) => Linked;
  /** Reads a trace again that could not be read. */
  readonly retry: (traceId: string) => void;
  /** Changes whenever a trace does. */
  readonly version: number;
}

const LOADING: Linked = { state: "loading" };

/** The skeletons of a session's traces, live. @param wanted ids of traces; others are let go */
export function useTraces(sessionId: string, wanted: readonly string[]): Traces {
  const traces = useRef(new Map<string, LiveTrace>());
  const [version, bump] = useReducer((count: number) => count + 1, 0);
  const key = wanted.join(" ");
  useEffect(() => {
    const ids = new Set(key.split(" ").filter((id) => id !== ""));
    for (const [id, trace] of traces.current) {
      if (ids.has(id)) continue;
      trace.close();
      traces.current.delete(id);
    }
    for (const id of ids) {
      if (!traces.current.has(id)) traces.current.set(id, new LiveTrace(sessionId, id, bump));
    }
  }, [sessionId, key]);
  useEffect(() => {
    const all = traces.current;
    return () => {
      for (const trace of all.values()) trace.close();
      all.clear();
    };
  }, []);
  useSessionEvents(sessionId, (event) => {
    if (event.type === "spans") {
      for (const { traceId, chunk } of event.traces) traces.current.get(traceId)?.take(chunk);
    }
    // A socket that opens for the first time may do so after the first answer: what happened in between is read again.
    if (event.type === "opened") for (const trace of traces.current.values()) void trace.read();
  });
  const of = useCallback((traceId: string) => traces.current.get(traceId)?.state ?? LOADING, []);
  const retry = useCallback((traceId: string) => void traces.current.get(traceId)?.read(), []);
  return { of, retry, version };
}
