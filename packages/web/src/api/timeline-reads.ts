/** What the timeline reads of a session: all its turns, its traces, its newest children. Skeletons: `skeletons.ts`. */
import { api, ok, type Schemas } from "./client.ts";

/** The most pages of a list that are read: 10,000 turns, and as many traces. */
const MAX_PAGES = 200;

interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor?: string | undefined;
}

async function allPages<T>(
  read: (cursor: string | undefined) => Promise<Page<T>>,
  onPage: (items: readonly T[]) => void,
): Promise<void> {
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { items, nextCursor } = await read(cursor);
    onPage(items);
    if (nextCursor === undefined) return;
    cursor = nextCursor;
  }
}

/** Reads the turns that ended, the oldest first. @param onPage gets each page as it comes */
export function readTurns(
  id: string,
  onPage: (turns: readonly Schemas["TurnRecord"][]) => void,
  signal: AbortSignal,
): Promise<void> {
  return allPages(async (cursor) => {
    const query = cursor === undefined ? {} : { cursor };
    const answer = await ok(api.GET("/api/sessions/{id}/turns", { params: { path: { id }, query }, signal }));
    return { items: answer.turns, nextCursor: answer.nextCursor };
  }, onPage);
}

/** Reads the list of traces, the newest first. @param onPage gets each page as it comes */
export function readTraces(
  id: string,
  onPage: (traces: readonly Schemas["TraceSummaryView"][]) => void,
  signal: AbortSignal,
): Promise<void> {
  return allPages(async (cursor) => {
    const query = cursor === undefined ? {} : { cursor };
    const answer = await ok(api.GET("/api/sessions/{id}/traces", { params: { path: { id }, query }, signal }));
    return { items: answer.traces, nextCursor: answer.nextCursor };
  }, onPage);
}

/** The newest children of a session, oldest first. */
export interface NewestChildren {
  readonly children: readonly Schemas["SessionView"][];
  readonly hasOlder: boolean;
}

/** Reads the newest children of a session, which are those that may work now. */
export async function readChildren(id: string, limit: number, signal: AbortSignal): Promise<NewestChildren> {
  const query = { parentSessionId: id, limit };
  const { sessions, nextCursor } = await ok(api.GET("/api/sessions", { params: { query }, signal }));
  return { children: sessions.toReversed(), hasOlder: nextCursor !== undefined };
}
