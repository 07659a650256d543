import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Schemas } from "../api/client.ts";
import { listenToSession } from "../api/session-events.ts";
import { nowQuery, sessionQuery } from "../api/sessions.ts";
import { readChildren, readSkeleton, readTraces, readTurns } from "../api/timeline-reads.ts";
import { sessionTitle } from "../format/session-names.ts";
import { type FeedState, TimelineFeed } from "./feed.ts";
import { type KnownChild, type Model, modelOf } from "./model.ts";

/** The children whose work is shown; each has a socket. */
const MAX_CHILDREN = 8;

export interface TimelineData {
  /** `undefined` until something is known. */
  readonly model: Model | undefined;
  readonly isReady: boolean;
  readonly error: unknown;
  /** How many children are left out. */
  readonly hiddenChildren: number;
  readonly state: FeedState;
  readonly want: (traceIds: readonly string[]) => void;
  readonly retry: () => void;
}

/** Reads and follows what the timeline shows of a session. */
export function useTimeline(sessionId: string): TimelineData {
  const feed = useFeed(sessionId);
  const state = useSyncExternalStore(feed.subscribe, feed.read);
  const session = useQuery(sessionQuery(sessionId)).data;
  const now = useQuery(nowQuery(sessionId)).data;
  const children = useChildren(sessionId);
  const model = useMemo(() => {
    if (session === undefined) return undefined;
    const before = performance.now();
    const made = modelOf(state, session, now, children.known);
    feed.tookMs(performance.now() - before);
    return made;
  }, [feed, state, session, now, children.known]);
  const { isReady, error } = state;
  const isShown = isReady || state.records.length > 0 || state.traces.length > 0;
  return {
    model: isShown ? model : undefined,
    isReady,
    error,
    hiddenChildren: children.hidden,
    state,
    want: feed.want,
    retry: feed.retry,
  };
}

function makeFeed(id: string): TimelineFeed {
  return new TimelineFeed({
    turns: (onPage, signal) => readTurns(id, onPage, signal),
    traces: (onPage, signal) => readTraces(id, onPage, signal),
    skeleton: (traceId, after, signal) => readSkeleton(id, traceId, after, signal),
    listen: (listener) => listenToSession(id, listener),
  });
}

function useFeed(sessionId: string): TimelineFeed {
  return useMemo(() => makeFeed(sessionId), [sessionId]);
}

/** Reads which children there are, and follows their work, as that of the session itself. */
function useChildren(sessionId: string): { readonly known: readonly KnownChild[]; readonly hidden: number } {
  const { data } = useQuery({
    queryKey: ["sessions", sessionId, "children"],
    queryFn: ({ signal }) => readChildren(sessionId, signal),
    refetchInterval: 10_000,
  });
  const shown = useMemo(() => (data ?? []).slice(0, MAX_CHILDREN), [data]);
  const ids = shown.map(({ id }) => id).join(" ");
  const [states, setStates] = useState<ReadonlyMap<string, FeedState>>(new Map());
  useEffect(() => {
    const stops = ids
      .split(" ")
      .filter((id) => id !== "")
      .map((id) => {
        const feed = makeFeed(id);
        return feed.subscribe(() => {
          const state = feed.read();
          feed.want(state.traces.map(({ traceId }) => traceId));
          setStates((before) => new Map(before).set(id, state));
        });
      });
    return () => {
      for (const stop of stops) stop();
    };
  }, [ids]);
  const known = useMemo(() => shown.flatMap((session) => childOf(session, states.get(session.id))), [shown, states]);
  return { known, hidden: (data ?? []).length - shown.length };
}

function childOf(session: Schemas["FamilyMember"], state: FeedState | undefined): KnownChild[] {
  if (state === undefined) return [];
  return [{ ...state, session, title: sessionTitle({ id: session.id, title: session.title }) }];
}
