/** What a session has, page by page. Reading writes nothing. */
import type {
  MessageList,
  TraceList,
  TraceSummaryView,
  TurnList,
  WorkflowList,
} from "@valet/shared/protocol/session-api";
import type { z } from "zod";
import { decodeCursor, encodeCursor } from "../http/cursor.ts";
import type { Conversation } from "./conversation.ts";
import { isoTime } from "./iso-time.ts";
import type { MessageStore } from "./message-store.ts";
import { ok, type Result, refuse } from "./result.ts";
import type { ListedTrace, TraceStore } from "./trace-plane/trace-store.ts";
import type { TurnRecords } from "./turn-records.ts";
import type { Workflows } from "./workflows.ts";

const PAGE = 50;

/** The conversation, the oldest message first. */
export function listMessages(
  store: MessageStore,
  conversation: Conversation,
  cursor: string | undefined,
): Result<z.infer<typeof MessageList>> {
  return pageOf(
    cursor,
    (seq) => store.messagesAfter("message", seq, PAGE + 1),
    (rows, next) => ({
      messages: rows.map((row) => conversation.view(row)),
      ...next,
    }),
  );
}

/** Executions of workflows, the oldest first, without what their steps gave. */
export function listWorkflows(
  store: MessageStore,
  workflows: Workflows,
  cursor: string | undefined,
): Result<z.infer<typeof WorkflowList>> {
  return pageOf(
    cursor,
    (seq) => store.messagesAfter("workflow", seq, PAGE + 1),
    (rows, next) => ({
      workflows: rows.map((row) => workflows.view(row)),
      ...next,
    }),
  );
}

/** Turns that are over, the oldest first. */
export function listTurns(records: TurnRecords, cursor: string | undefined): Result<z.infer<typeof TurnList>> {
  return pageOf(
    cursor,
    (seq) => records.after(seq, PAGE + 1),
    (rows, next) => ({
      turns: rows.map(({ record }) => record),
      ...next,
    }),
  );
}

/** Traces, the newest first. */
export function listTraces(store: TraceStore, cursor: string | undefined): Result<z.infer<typeof TraceList>> {
  const [startUs, traceId] = (cursor === undefined ? undefined : partsOf(cursor, 2)) ?? [];
  const after = traceId === undefined ? undefined : { startUs: Number(startUs), traceId };
  if (cursor !== undefined && !Number.isFinite(after?.startUs)) return badCursor();
  const found = store.traces(after, PAGE + 1);
  const page = found.slice(0, PAGE);
  const last = page.at(-1);
  const hasMore = found.length > PAGE && last !== undefined;
  return ok({
    traces: page.map(toTraceView),
    ...(hasMore && { nextCursor: encodeCursor([String(last.startUs), last.traceId]) }),
  });
}

function toTraceView({ traceId, name, startUs, endUs, spans, openSpans, errors }: ListedTrace): TraceSummaryView {
  const figures = {
    traceId,
    startedAt: isoTime(startUs / 1000),
    duration_ms: (endUs - startUs) / 1000,
    spans,
    openSpans,
    errors,
  };
  return name === undefined ? figures : { ...figures, name };
}

/** Rows in the order of their sequence. @param read one more row than a page has, if there are that many */
function pageOf<R extends { readonly seq: number }, T>(
  cursor: string | undefined,
  read: (afterSeq: number) => R[],
  shape: (rows: R[], next: { nextCursor?: string }) => T,
): Result<T> {
  const seq = cursor === undefined ? 0 : Number(partsOf(cursor, 1)?.[0]);
  if (!Number.isSafeInteger(seq)) return badCursor();
  const rows = read(seq);
  const page = rows.slice(0, PAGE);
  const last = page.at(-1);
  const hasMore = rows.length > PAGE && last !== undefined;
  return ok(shape(page, hasMore ? { nextCursor: encodeCursor([String(last.seq)]) } : {}));
}

function partsOf(cursor: string, length: number): readonly string[] | undefined {
  try {
    return decodeCursor(cursor, length);
  } catch {
    return undefined;
  }
}

function badCursor() {
  return refuse("invalid-cursor", "Take the cursor from the page before, as it stands.");
}
