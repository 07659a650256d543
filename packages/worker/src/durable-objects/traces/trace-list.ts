/** Pages of a session's traces. */
import type { TraceList, TraceSummaryView } from "@valet/shared/protocol/session-api";
import type { z } from "zod";
import { badCursor, cursorOf, placeIn } from "../core/cursor.ts";
import { isoTime } from "../core/iso-time.ts";
import { fillPage } from "../core/page-bytes.ts";
import { ok, type Result } from "../core/result.ts";
import type { ListedTrace, TraceReader } from "./trace-reader.ts";

const PAGE = 50;

/** Lists traces, newest first. */
export function listTraces(
  reader: TraceReader,
  sessionId: string,
  cursor: string | undefined,
): Result<z.infer<typeof TraceList>> {
  const list = `traces ${sessionId}`;
  const [startUs, traceId] = (cursor === undefined ? undefined : placeIn(list, cursor, 2)) ?? [];
  const after = traceId === undefined ? undefined : { startUs: Number(startUs), traceId };
  if (cursor !== undefined && !Number.isFinite(after?.startUs)) return badCursor();
  const found = reader.traces(after, PAGE + 1);
  const traces = fillPage(found.slice(0, PAGE), toTraceView);
  const last = found[traces.length - 1];
  const hasMore = found.length > traces.length && last !== undefined;
  return ok({
    traces,
    ...(hasMore && { nextCursor: cursorOf(list, String(last.startUs), last.traceId) }),
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
