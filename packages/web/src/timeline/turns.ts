/** Which turns there were and are, and which span is whose. Pure. */
import type { Schemas } from "../api/client.ts";
import type { TurnSpan } from "./work.ts";

/** A turn, or an attempt of a workflow: one that ended, or one that runs. */
export interface Turn {
  readonly id: string;
  /** From 1, in order of the dispatches. */
  readonly number: number;
  /** Of a batch, the last one: it has the answer. */
  readonly messageId: string | undefined;
  readonly channel: string;
  readonly attempt: number;
  readonly startMs: number;
  /** `undefined` while it runs. */
  readonly endMs: number | undefined;
  /** Those that it may lie in. */
  readonly traceIds: readonly string[];
  /** `undefined` while it runs. */
  readonly record: Schemas["TurnRecord"] | undefined;
}

/** @param traceOf the trace of a running message, if it is known */
export function turnsOf(
  records: readonly Schemas["TurnRecord"][],
  running: readonly Pick<Schemas["RunNow"], "id" | "channel" | "attempt" | "dispatchedAt">[],
  traceOf: (messageId: string) => string | undefined,
): Turn[] {
  const ended = records.map((record): Omit<Turn, "number"> => {
    const startMs = Date.parse(record.dispatched_at);
    return {
      id: record.attempt_id,
      messageId: record.message_ids.at(-1),
      channel: record.channel,
      attempt: record.attempt,
      startMs,
      endMs: Math.max(startMs, Date.parse(record.ended_at)),
      traceIds: [record.trace_id, ...(record.message_trace_id === null ? [] : [record.message_trace_id])],
      record,
    };
  });
  const done = new Set(ended.map(({ messageId, attempt }) => `${messageId} ${attempt}`));
  const open = running
    .filter(({ id, attempt }) => !done.has(`${id} ${attempt}`))
    .map(({ id, channel, attempt, dispatchedAt }): Omit<Turn, "number"> => {
      const traceId = traceOf(id);
      return {
        id: `${id} ${attempt}`,
        messageId: id,
        channel,
        attempt,
        startMs: Date.parse(dispatchedAt),
        endMs: undefined,
        traceIds: traceId === undefined ? [] : [traceId],
        record: undefined,
      };
    });
  return [...ended, ...open]
    .sort((a, b) => a.startMs - b.startMs)
    .map((turn, index) => ({ ...turn, number: index + 1 }));
}

/** Returns the turns of each trace. */
export function turnsByTrace(turns: readonly Turn[]): Map<string, Turn[]> {
  const byTrace = new Map<string, Turn[]>();
  for (const turn of turns) {
    for (const traceId of new Set(turn.traceIds)) {
      const own = byTrace.get(traceId);
      if (own === undefined) byTrace.set(traceId, [turn]);
      else own.push(turn);
    }
  }
  return byTrace;
}

/** How far the runner's clock may be from the session's, ms. */
const SKEW_MS = 60_000;

/**
 * Returns the turn of each turn span, by its id. The span begins when the runner accepts the work: of the turns of its trace, it belongs
 * to the one that was dispatched closest to that.
 */
export function matchTurns(
  turns: readonly Turn[],
  byTrace: ReadonlyMap<string, readonly Turn[]>,
  spans: readonly TurnSpan[],
): Map<string, Turn> {
  const unplaced = turns.filter(({ traceIds }) => traceIds.length === 0);
  const matched = new Map<string, Turn>();
  for (const { span, traceId } of spans) {
    const startMs = span.startUs / 1000;
    const own = byTrace.get(traceId) ?? unplaced.filter((turn) => Math.abs(turn.startMs - startMs) < SKEW_MS);
    let best: Turn | undefined;
    for (const turn of own) {
      if (best === undefined || Math.abs(turn.startMs - startMs) < Math.abs(best.startMs - startMs)) best = turn;
    }
    if (best !== undefined) matched.set(span.spanId, best);
  }
  return matched;
}

/** Returns the short text above a turn: its number, and what is worth knowing about it. */
export function turnLabel({ number, attempt, record }: Turn): string {
  const parts = [attempt > 1 ? `${number} again` : String(number)];
  if (record === undefined) parts.push("runs");
  else if (record.outcome !== "ok") parts.push(record.outcome);
  else if (record.files_changed !== null && record.files_changed > 0) {
    parts.push(record.files_changed === 1 ? "1 file" : `${record.files_changed} files`);
  }
  return parts.join(" · ");
}
