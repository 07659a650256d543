/** Lists a session's messages, workflows and turns page by page. Writes nothing. */
import type { MessageList, SessionTurn, TurnList, WorkflowList } from "@valet/shared/protocol/session-api";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import type { z } from "zod";
import { badCursor, cursorOf, placeIn } from "../core/cursor.ts";
import { fillPage } from "../core/page-bytes.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import type { JobKind, JobRow, JobStore } from "../queue/job-store.ts";
import type { Workflows } from "../workflow/workflows.ts";
import type { Conversation } from "./conversation.ts";
import type { TurnRecords } from "./turn-records.ts";

const PAGE = 50;

/** The order of a list: `asc` begins with the oldest, `desc` with the newest. */
export type ListOrder = "asc" | "desc";

interface Place {
  readonly sessionId: string;
  readonly cursor: string | undefined;
  readonly order: ListOrder | undefined;
}

interface MessagePlace extends Place {
  /** The sequence number of the message that the list begins with. */
  readonly from: number | undefined;
}

/** Returns a page of the conversation. A cursor implies its order; a different `order` beside it is refused, and so is `from`. */
export function listMessages(
  store: JobStore,
  conversation: Conversation,
  place: MessagePlace,
): Result<z.infer<typeof MessageList>> {
  if (place.cursor !== undefined && place.from !== undefined) {
    return refuse("invalid-input", "Send `cursor` or `from`, not both: a cursor goes on where its page has ended.");
  }
  return jobsPage(
    store,
    "message",
    place,
    (row) => conversation.view(row),
    (messages, next) => ({ messages, ...next }),
  );
}

/** Returns a page of workflow executions, without the output of their steps. A cursor implies its order, as with messages. */
export function listWorkflows(
  store: JobStore,
  workflows: Workflows,
  place: Place,
): Result<z.infer<typeof WorkflowList>> {
  return jobsPage(
    store,
    "workflow",
    { ...place, from: undefined },
    (row) => workflows.view(row),
    (views, next) => ({ workflows: views, ...next }),
  );
}

/** Returns a page of the jobs of one kind, in either order. */
function jobsPage<V, T>(
  store: JobStore,
  kind: JobKind,
  { sessionId, cursor, order, from }: MessagePlace,
  view: (row: JobRow) => V,
  shape: (views: V[], next: { nextCursor?: string }) => T,
): Result<T> {
  const list = nameOf(kind, sessionId);
  const before = cursor === undefined ? from && from + 1 : descendingSeq(list, cursor);
  const isDescending = cursor === undefined ? order === "desc" : before !== undefined;
  if (order !== undefined && order !== (isDescending ? "desc" : "asc")) return badCursor();
  return pageOf(
    list,
    isDescending ? undefined : cursor,
    (seq) =>
      isDescending
        ? store.jobsBefore(kind, before ?? Number.MAX_SAFE_INTEGER, PAGE + 1)
        : store.jobsAfter(kind, from === undefined ? seq : from - 1, PAGE + 1),
    view,
    shape,
    isDescending ? (seq) => cursorOf(list, DESCENDING, String(seq)) : undefined,
  );
}

/** Returns the name in cursors of a list, which is of one session: a page after a foreign cursor would lack some and still look complete. */
function nameOf(what: JobKind | "turn", sessionId: string): string {
  return `${what}s ${sessionId}`;
}

/** A part of the cursors of descending lists. */
const DESCENDING = "desc";

/** Returns the sequence number before which a descending list continues; `undefined` if the cursor is of an ascending one. */
function descendingSeq(list: string, cursor: string): number | undefined {
  const [order, seq] = placeIn(list, cursor, 2) ?? [];
  return order === DESCENDING && Number.isSafeInteger(Number(seq)) ? Number(seq) : undefined;
}

/**
 * Returns a page of the turns that have ended, oldest first.
 * @param certify returns the state of a turn's certificate
 */
export function listTurns(
  records: TurnRecords,
  certify: (record: TurnRecord) => SessionTurn["certificate"],
  { sessionId, cursor }: Pick<Place, "sessionId" | "cursor">,
): Result<z.infer<typeof TurnList>> {
  return pageOf(
    nameOf("turn", sessionId),
    cursor,
    (seq) => records.after(seq, PAGE + 1),
    ({ record }) => ({ ...record, certificate: certify(record) }),
    (turns, next) => ({ turns, ...next }),
  );
}

/**
 * Returns a page of rows in the order that `read` gives, limited in number and in bytes.
 * @param list its name in cursors
 * @param read returns one row more than a page holds, if there are that many
 * @param toCursor returns the cursor after the page's last row
 */
function pageOf<R extends { readonly seq: number }, V, T>(
  list: string,
  cursor: string | undefined,
  read: (afterSeq: number) => R[],
  view: (row: R) => V,
  shape: (views: V[], next: { nextCursor?: string }) => T,
  toCursor: (seq: number) => string = (seq) => cursorOf(list, String(seq)),
): Result<T> {
  const seq = cursor === undefined ? 0 : Number(placeIn(list, cursor, 1)?.[0]);
  if (!Number.isSafeInteger(seq)) return badCursor();
  const rows = read(seq);
  const views = fillPage(rows.slice(0, PAGE), view);
  const last = rows[views.length - 1];
  const hasMore = rows.length > views.length && last !== undefined;
  return ok(shape(views, hasMore ? { nextCursor: toCursor(last.seq) } : {}));
}
