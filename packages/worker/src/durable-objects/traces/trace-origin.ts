/**
 * Decides which traces a sandbox may write into. A holder of a runner's token may write spans of that session, in the
 * session's own traces only; `stamp.ts` sets the emitter.
 */
import { createHash } from "node:crypto";
import { isOwnTraceId } from "@valet/shared/protocol/own-trace-ids";
import type { ReceivedSpan, SpanGroup } from "./otlp-request.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
/** How many traces known to be the session's are cached, so that most frames need no query. */
const MAX_REMEMBERED = 1000;

export interface OwnSpans {
  readonly groups: readonly SpanGroup[];
  /** How many spans of other traces were dropped. */
  readonly refused: number;
}

export class TraceOrigin {
  readonly #sql: SqlStorage;
  readonly #sessionId: string;
  readonly #isPending: (traceId: string) => boolean;
  readonly #known = new Set<string>();

  /** @param isPending whether the running transaction has recorded spans of a trace that it has not written yet */
  constructor(sql: SqlStorage, sessionId: string, isPending: (traceId: string) => boolean) {
    this.#sql = sql;
    this.#sessionId = sessionId;
    this.#isPending = isPending;
  }

  /**
   * Keeps the spans of this session's traces, of traces whose id was drawn for it, and of traces that begin in the same
   * request.
   */
  keepOwn(groups: readonly SpanGroup[]): OwnSpans {
    const spans = groups.flatMap((group) => group.spans);
    const begun = new Set(spans.filter(isRoot).map(({ traceId }) => traceId));
    const foreign = new Set(spans.map(({ traceId }) => traceId).filter((id) => !begun.has(id) && !this.isOwn(id)));
    if (foreign.size === 0) return { groups, refused: 0 };
    const isOwn = ({ traceId }: ReceivedSpan) => !foreign.has(traceId);
    return {
      groups: groups.map((group) => ({ ...group, spans: group.spans.filter(isOwn) })),
      refused: spans.filter((span) => !isOwn(span)).length,
    };
  }

  /** Returns whether the session has spans of the trace, or the id was drawn for it. */
  isOwn(traceId: string): boolean {
    if (this.#known.has(traceId) || this.#isPending(traceId)) return true;
    // The query first: it is cheaper than the hash, and most spans are of traces that the session has spans of.
    if (!this.#hasSpans(traceId) && !isOwnTraceId(traceId, this.#sessionId, sha256)) return false;
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
    this.#known.add(traceId);
    return true;
  }

  /** Forgets the cached traces: the spans of some may have been rolled back. */
  forget(): void {
    this.#known.clear();
  }

  #hasSpans(traceId: string): boolean {
    const found = this.#sql.exec(
      `SELECT 1 FROM trace_index WHERE trace_id = ?1
       UNION ALL SELECT 1 FROM trace_open WHERE trace_id = ?1
       UNION ALL SELECT 1 FROM trace_tail WHERE INSTR(summaries, ?1) > 0 LIMIT 1`,
      traceId,
    );
    return found.toArray().length > 0;
  }
}

function isRoot({ source }: ReceivedSpan): boolean {
  return (source as { parentSpanId?: unknown }).parentSpanId === undefined;
}
