import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Schemas } from "../api/client.ts";
import { listenToSession } from "../api/session-events.ts";
import { nowQuery, sessionQuery } from "../api/sessions.ts";
import { readSkeleton } from "../api/skeletons.ts";
import { readChildren, readTraces, readTurns } from "../api/timeline-reads.ts";
import { Kept } from "../app/kept.ts";
import { sessionTitle } from "../format/session-names.ts";
import { ChildFeeds } from "./child-feeds.ts";
import { type FeedState, TimelineFeed } from "./feed.ts";
import { type KnownChild, type Model, modelOf } from "./model.ts";

/** The children whose work is shown; each has a socket. */
const MAX_CHILDREN = 8;

export interface TimelineData {
  /** `undefined` until something is known. */
  readonly model: Model | undefined;
  readonly isReady: boolean;
  readonly error: unknown;
  /** Whether there are older children, which are left out. */
  readonly hasOlderChildren: boolean;
  readonly state: FeedState;
  readonly want: (traceIds: readonly string[]) => void;
  readonly retry: () => void;
}

/** Reads and follows what the timeline shows of a session. */
export function useTimeline(sessionId: string): TimelineData {
  const feed = useFeed(sessionId);
  const state = useSyncExternalStore(feed.subscribe, feed.read);
  const session = useParts(useQuery(sessionQuery(sessionId)).data, sessionParts);
  const now = useParts(useQuery(nowQuery(sessionId)).data, nowParts);
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
    hasOlderChildren: children.hasOlder,
    state,
    want: feed.want,
    retry: feed.retry,
  };
}

/** Of the session, what the model is made of. */
function sessionParts({ status, generation, createdAt }: Schemas["SessionView"]) {
  return { status, generation, createdAt };
}

/** Of now, what the model is made of: without ages, which differ in each answer. */
function nowParts({ running, queue }: Schemas["NowView"]) {
  return {
    running: running.map(({ id, channel, attempt, dispatchedAt }) => ({ id, channel, attempt, dispatchedAt })),
    queue: queue.map(({ id, reason, since }) => ({ id, reason, since })),
  };
}

/** Returns parts of an answer: the same ones until one of them changes, since the model of a long session takes time to make. */
function useParts<Whole, Parts>(whole: Whole | undefined, partsOf: (whole: Whole) => Parts): Parts | undefined {
  const key = whole === undefined ? undefined : JSON.stringify(partsOf(whole));
  return useMemo(() => (key === undefined ? undefined : (JSON.parse(key) as Parts)), [key]);
}

function makeFeed(id: string): TimelineFeed {
  return new TimelineFeed({
    turns: (onPage, signal) => readTurns(id, onPage, signal),
    traces: (onPage, signal) => readTraces(id, onPage, signal),
    skeleton: async (traceId, after, signal) => {
      const page = await readSkeleton(id, traceId, { after, signal });
      if (page === undefined) throw new TypeError("The API answered that nothing changed, and was not asked that.");
      return page.skeleton;
    },
    listen: (listener) => listenToSession(id, listener),
  });
}

/** Those of the sessions that were shown last: whoever comes back sees them at once. */
const FEEDS = new Kept<TimelineFeed>("view", 3);

function useFeed(sessionId: string): TimelineFeed {
  return useMemo(() => {
    const feed = FEEDS.get(sessionId) ?? makeFeed(sessionId);
    FEEDS.set(sessionId, feed);
    return feed;
  }, [sessionId]);
}

/** Reads which children there are, and follows their work, as that of the session itself. */
function useChildren(sessionId: string): { readonly known: readonly KnownChild[]; readonly hasOlder: boolean } {
  const { data } = useQuery({
    queryKey: ["sessions", sessionId, "children"],
    queryFn: ({ signal }) => readChildren(sessionId, MAX_CHILDREN, signal),
    refetchInterval: 10_000,
  });
  const shown = useMemo(() => data?.children ?? [], [data]);
  const ids = shown.map(({ id }) => id).join(" ");
  const [states, setStates] = useState<ReadonlyMap<string, FeedState>>(new Map());
  const [feeds] = useState(() => new ChildFeeds(makeFeed, setStates));
  useEffect(() => feeds.show(ids.split(" ").filter((id) => id !== "")), [feeds, ids]);
  // Not a clean-up of the effect above, which would end the feeds of all children whenever one of them comes or goes.
  useEffect(() => () => feeds.show([]), [feeds]);
  const known = useMemo(() => shown.flatMap((session) => childOf(session, states.get(session.id))), [shown, states]);
  return { known, hasOlder: data?.hasOlder === true };
}

function childOf(session: Schemas["SessionView"], state: FeedState | undefined): KnownChild[] {
  if (state === undefined) return [];
  return [{ ...state, session, title: sessionTitle({ id: session.id, title: session.title }) }];
}
