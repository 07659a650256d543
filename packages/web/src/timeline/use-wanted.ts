import { useEffect } from "react";
import type { TimelineData } from "./use-timeline.ts";
import type { View } from "./view.ts";
import { wantedTraces } from "./wanted.ts";

/** So long what is in view stays the same before it is read, ms: nothing is read, or looked for, of what a hand moves past. */
const SETTLED_MS = 60;

/** Reads the spans of what is in view, a moment after it came into view. */
export function useWanted(data: TimelineData, view: View, nowMs: number, alwaysId: string | undefined): void {
  const { state, want } = data;
  useEffect(() => {
    const timer = setTimeout(() => want(wantedTraces(state.traces, view, nowMs, alwaysId)), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [want, state.traces, view, nowMs, alwaysId]);
}
