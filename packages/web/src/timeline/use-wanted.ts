import { useEffect, useMemo } from "react";
import type { TimelineData } from "./use-timeline.ts";
import type { View } from "./view.ts";
import { wantedTraces } from "./wanted.ts";

/** Reads the spans of what is in view, a moment after it came into view. */
export function useWanted(data: TimelineData, view: View, nowMs: number, alwaysId: string | undefined): void {
  const { state, want } = data;
  const ids = useMemo(
    () => wantedTraces(state.traces, view, nowMs, alwaysId).join(" "),
    [state.traces, view, nowMs, alwaysId],
  );
  useEffect(() => {
    const timer = setTimeout(() => want(ids === "" ? [] : ids.split(" ")), 60);
    return () => clearTimeout(timer);
  }, [want, ids]);
}
