import { useCallback, useEffect, useRef, useState } from "react";
import { useSessionEvents } from "../api/use-session-events.ts";
import { LiveTrace } from "./live-trace.ts";
import type { Linked } from "./rows.ts";

export interface Traces {
  /** Another function whenever a trace changes. */
  readonly of: (traceId: string) => Linked;
  /** Reads a trace again that could not be read. */
  readonly retry: (traceId: string) => void;
}

const LOADING: Linked = { state: "loading" };

/** The skeletons of a session's traces, live. @param wanted ids of traces; others are let go */
export function useTraces(sessionId: string, wanted: readonly string[]): Traces {
  const traces = useRef(new Map<string, LiveTrace>());
  const [states, setStates] = useState<ReadonlyMap<string, Linked>>(new Map());
  const key = wanted.join(" ");
  useEffect(() => {
    const show = () => setStates(new Map(Array.from(traces.current, ([id, { state }]) => [id, state])));
    const ids = new Set(key.split(" ").filter((id) => id !== ""));
    for (const [id, trace] of traces.current) {
      if (ids.has(id)) continue;
      trace.close();
      traces.current.delete(id);
    }
    // What is let go is kept nowhere.
    show();
    for (const id of ids) {
      if (!traces.current.has(id)) traces.current.set(id, new LiveTrace(sessionId, id, show));
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
      for (const { traceId, chunk, lost } of event.traces) traces.current.get(traceId)?.take(chunk, lost);
    }
    // A socket that opens for the first time may do so after the first answer: what happened in between is read again.
    if (event.type === "opened") for (const trace of traces.current.values()) void trace.read();
  });
  const of = useCallback((traceId: string) => states.get(traceId) ?? LOADING, [states]);
  const retry = useCallback((traceId: string) => void traces.current.get(traceId)?.read(), []);
  return { of, retry };
}
