/** What a session did in the last hour, as bars. Pure. */
import type { Schemas } from "../../api/client.ts";
import type { Kind } from "../../ui/kind.tsx";

type Turn = Pick<
  Schemas["TurnRecord"],
  "attempt_id" | "accepted_at" | "dispatched_at" | "ended_at" | "queue_wait_ms" | "outcome"
>;
type Run = Pick<Schemas["RunNow"], "id" | "dispatchedAt">;

/** A bar of the strip, in per cent of its width. */
interface StripBar {
  readonly key: string;
  readonly kind: Kind;
  readonly left: number;
  readonly width: number;
  readonly hasFailed: boolean;
}

const HOUR_MS = 60 * 60_000;

/**
 * Returns the bars of a session: the wait of each turn, and the turn itself. A turn that runs ends now.
 * @param turns those that ended
 */
export function stripBars(turns: readonly Turn[], running: readonly Run[], nowMs: number): StripBar[] {
  const fromMs = nowMs - HOUR_MS;
  const bars: StripBar[] = [];
  const add = (key: string, kind: Kind, startMs: number, endMs: number, hasFailed: boolean) => {
    const [start, end] = [Math.max(startMs, fromMs), Math.min(endMs, nowMs)];
    if (end <= start) return;
    bars.push({
      key,
      kind,
      left: ((start - fromMs) / HOUR_MS) * 100,
      width: ((end - start) / HOUR_MS) * 100,
      hasFailed,
    });
  };
  for (const { attempt_id: id, dispatched_at, ended_at, queue_wait_ms, outcome } of turns) {
    const dispatchedMs = Date.parse(dispatched_at);
    add(`${id} wait`, "queue", dispatchedMs - queue_wait_ms, dispatchedMs, false);
    const isLost = outcome === "lost";
    add(id, isLost ? "lost" : "model", dispatchedMs, Date.parse(ended_at), outcome === "error");
  }
  for (const { id, dispatchedAt } of running) add(`${id} runs`, "model", Date.parse(dispatchedAt), nowMs, false);
  return bars;
}

/** Says the same in words. */
export function stripText(turns: number, failed: number, running: number): string {
  const parts = [
    turns === 0 ? "no turn ended" : `${turns} ${turns === 1 ? "turn" : "turns"} ended`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(running > 0 ? ["one runs now"] : []),
  ];
  return `In the last hour ${parts.join(", ")}.`;
}
