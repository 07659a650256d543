/** A turn in one line: its figures from the records of its attempts. Pure. */
import type { Message, Turn, Workflow } from "./conversation.ts";

interface JobSummary {
  /** From its last dispatch to its end; `null` if it was never dispatched, or has not ended. */
  readonly ms: number | null;
  /** Of all attempts. */
  readonly costUsd: number | null;
  readonly isCostPartial: boolean;
  /** By the last attempt. */
  readonly filesChanged: number | null;
  readonly lost: number;
}

export function jobSummary(job: Message | Workflow, turns: readonly Turn[]): JobSummary {
  const costs = turns.map(({ cost_usd }) => cost_usd).filter((cost) => cost !== null);
  const { dispatchedAt, endedAt } = job;
  return {
    ms:
      dispatchedAt === undefined || endedAt === undefined
        ? null
        : Math.max(0, Date.parse(endedAt) - Date.parse(dispatchedAt)),
    costUsd: costs.length === 0 ? null : costs.reduce((sum, cost) => sum + cost, 0),
    isCostPartial: turns.some(({ cost_usd, calls_without_cost }) => cost_usd === null || (calls_without_cost ?? 0) > 0),
    filesChanged: turns.at(-1)?.files_changed ?? null,
    lost: turns.filter(({ outcome }) => outcome === "lost").length,
  };
}
