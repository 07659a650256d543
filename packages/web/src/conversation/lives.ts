/**
 * The lives of a session: what it did between two hibernations. A past one is a single row, so that a session of days is read as a few
 * lines. Pure.
 */
import type { Conversation, Message, Workflow } from "./conversation.ts";
import { costOf, jobSummary } from "./job-summary.ts";
import type { Rest } from "./rests.ts";

type Job = Message | Workflow;

export interface Life {
  /** The same however many of its messages are loaded. */
  readonly key: string;
  readonly jobs: readonly Job[];
  /** The rest that ended it; `undefined` of the one that goes on. */
  readonly rest: Rest | undefined;
}

/**
 * Returns the lives, in order. A rest before the oldest job that is loaded is left out: what it ended is not known yet.
 * @param jobs in order of their acceptance
 * @param rests in order
 */
export function livesOf(jobs: readonly Job[], rests: readonly Rest[]): Life[] {
  const lives: Life[] = [];
  const times = jobs.map(({ acceptedAt }) => Date.parse(acceptedAt));
  let from = 0;
  for (const rest of rests) {
    let to = from;
    // A message that wakes the session came while it slept.
    while (to < jobs.length && (times[to] as number) < rest.startMs) to += 1;
    if (to > 0) lives.push({ key: `life ${rest.startMs}`, jobs: jobs.slice(from, to), rest });
    from = to;
  }
  if (from < jobs.length) lives.push({ key: "life now", jobs: jobs.slice(from), rest: undefined });
  return lives;
}

export interface LifeSummary {
  readonly turns: number;
  /** Of all turns whose duration is known. */
  readonly ms: number | null;
  readonly costUsd: number | null;
  readonly isCostPartial: boolean;
  readonly failed: number;
  readonly lost: number;
}

export function lifeSummary(jobs: readonly Job[], turns: Conversation["turns"]): LifeSummary {
  const turnsOf = ({ id }: Job) => turns.get(id) ?? [];
  // The messages of a batch have their turns in common.
  const all = [...new Map(jobs.flatMap(turnsOf).map((turn) => [turn.attempt_id, turn])).values()];
  const firstOf = new Map(jobs.toReversed().map((job) => [turnsOf(job).at(-1)?.attempt_id ?? job.id, job]));
  const times = [...firstOf.values()].map((job) => jobSummary(job, turnsOf(job)).ms).filter((ms) => ms !== null);
  const { costUsd, isCostPartial } = costOf(all);
  return {
    turns: jobs.length,
    ms: times.length === 0 ? null : times.reduce((total, ms) => total + ms, 0),
    costUsd,
    // What was never dispatched cost nothing.
    isCostPartial: isCostPartial || jobs.some((job) => job.attempts > 0 && turnsOf(job).length === 0),
    failed: jobs.filter(({ outcome }) => outcome === "error").length,
    lost: all.filter(({ outcome }) => outcome === "lost").length,
  };
}
