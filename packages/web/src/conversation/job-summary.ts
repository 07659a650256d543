/** A turn in one line: its figures from the records of its attempts. Pure. */
import { knownSum, lacksCost } from "@valet/shared/protocol/cost";
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
  const { dispatchedAt, endedAt } = job;
  return {
    ms:
      dispatchedAt === undefined || endedAt === undefined
        ? null
        : Math.max(0, Date.parse(endedAt) - Date.parse(dispatchedAt)),
    ...costOf(turns),
    filesChanged: turns.at(-1)?.files_changed ?? null,
    lost: turns.filter(({ outcome }) => outcome === "lost").length,
  };
}

/** Returns the cost of turns; `null` if nothing of it is known. */
export function costOf(turns: readonly Turn[]): Pick<JobSummary, "costUsd" | "isCostPartial"> {
  const lacking = turns.filter(lacksCost).length;
  const sum = turns.reduce((total, { cost_usd }) => total + (cost_usd ?? 0), 0);
  return { costUsd: turns.length === 0 ? null : knownSum(sum, lacking), isCostPartial: lacking > 0 };
}
