/** Follows a trace until it has ended: reads its skeleton again and again, each time only what is new. */

import { setTimeout as sleep } from "node:timers/promises";
import { breakdownText } from "@valet/shared/duration-text";
import { decodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-transport.ts";
import { counted } from "./counted.ts";
import { UserError } from "./errors.ts";

/** How often the trace is read, in ms. */
const POLL_MS = 500;
/** A trace without open spans has ended once nothing of it has come for so long, in ms: a turn's last spans follow its end. */
const QUIET_MS = 2_000;

export interface FollowOptions {
  /** Called when a span is first seen open, and when it has ended. */
  readonly onSpan: (span: SkeletonSpan) => void;
  /** Called when Valet does not answer, which may pass, and when it does again, with an empty text. */
  readonly onNotice: (text: string) => void;
  readonly signal: AbortSignal;
  readonly pollMs?: number;
  readonly quietMs?: number;
}

/** What is known of a trace that was followed. */
export interface FollowedTrace {
  readonly spans: number;
  readonly errors: number;
}

/**
 * Resolves when the trace has ended or `signal` is aborted.
 * @throws ApiError if there is no such trace
 */
export async function followTrace(
  api: Pick<ApiClient, "skeleton">,
  sessionId: string,
  traceId: string,
  { onSpan, onNotice, signal, pollMs = POLL_MS, quietMs = QUIET_MS }: FollowOptions,
): Promise<FollowedTrace> {
  /** Whether each span has ended, and failed. */
  const known = new Map<string, { readonly isOpen: boolean; readonly isError: boolean }>();
  const take = ({ chunks }: TraceSkeleton): SkeletonSpan[] => {
    const seen = chunks.flatMap(decodeSkeleton).sort((a, b) => (a.endUs ?? a.startUs) - (b.endUs ?? b.startUs));
    return seen.filter((span) => {
      const isOpen = span.endUs === undefined;
      const before = known.get(span.spanId);
      // What has ended stays so: an answer may hold a span twice.
      if (before !== undefined && (!before.isOpen || isOpen)) return false;
      known.set(span.spanId, { isOpen, isError: span.isError });
      return true;
    });
  };
  let next: string | undefined;
  let quietSinceMs = Date.now();
  while (!signal.aborted) {
    try {
      const page = await api.skeleton(sessionId, traceId, next);
      onNotice("");
      const news = take(page);
      news.forEach(onSpan);
      next = page.next;
      if (!page.isComplete) continue;
      // A complete answer contains every open span. If it lacks a span that was open before, the end of that span was lost.
      const told = new Set(page.chunks.flatMap(decodeSkeleton).map(({ spanId }) => spanId));
      for (const [spanId, { isOpen }] of known) if (isOpen && !told.has(spanId)) known.delete(spanId);
      const isOpen = [...known.values()].some((each) => each.isOpen);
      if (isOpen || news.length > 0) quietSinceMs = Date.now();
      else if (Date.now() - quietSinceMs >= quietMs) break;
    } catch (error) {
      // A refusal stays one; a Valet that does not answer may come back.
      if (!(error instanceof UserError) || (error instanceof ApiError && error.status < 500)) throw error;
      onNotice("Valet does not answer; trying again.");
    }
    await sleep(pollMs, undefined, { signal }).catch(() => {});
  }
  const errors = [...known.values()].filter(({ isError }) => isError).length;
  return { spans: known.size, errors };
}

/** Returns the line of a span that has begun or ended, with the time of that. */
export function spanLine({ name, startUs, endUs, isError, outcome }: SkeletonSpan): string {
  const at = new Date((endUs ?? startUs) / 1000).toISOString().slice(11, 19);
  const what = endUs === undefined ? "began" : breakdownText((endUs - startUs) / 1000);
  const mark = isError ? "✗ " : endUs === undefined ? "… " : "";
  const note = outcome === undefined || outcome === "ok" ? "" : `  (${outcome})`;
  return `${at}  ${what.padStart(8)}  ${mark}${name}${note}`;
}

/** Returns the same for scripts: times are ISO 8601, those of an open span null. */
export function spanJson({ spanId, parentSpanId, name, startUs, endUs, isError, outcome }: SkeletonSpan) {
  const iso = (us: number) => new Date(us / 1000).toISOString();
  return {
    spanId,
    parentSpanId: parentSpanId ?? null,
    name,
    startedAt: iso(startUs),
    endedAt: endUs === undefined ? null : iso(endUs),
    duration_ms: endUs === undefined ? null : (endUs - startUs) / 1000,
    outcome: outcome ?? null,
    isError,
  };
}

/** Says how a trace ended. */
export function endedText(sessionId: string, traceId: string, { spans, errors }: FollowedTrace): string {
  const failed = errors === 0 ? "" : `, ${counted(errors, "error")}`;
  return `The trace has ended: ${counted(spans, "span")}${failed}. See it: valet trace ${sessionId} ${traceId}.`;
}
