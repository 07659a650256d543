/**
 * How long the steps of an owner's work take: the durations of the last steps with the same tool or the same model, and what is
 * assumed until there are enough. Pure.
 */
import { z } from "zod";

/** How many durations of the same tool or model are kept for an owner. */
export const SAMPLES_KEPT = 200;
/** With fewer durations than this, the table of defaults holds. */
export const MIN_SAMPLES = 20;
/** How many durations of one tool or model, and of how many tools and models, one turn reports: the last ones. */
export const MAX_TURN_SAMPLES = 20;
export const MAX_TURN_KEYS = 40;
/** Silence of less than this is never unusual, in ms. */
export const MIN_QUIET_MS = 30_000;
/** Silence is unusual after this many times the 99th percentile. */
export const QUIET_FACTOR = 3;

/** Durations of the steps of one turn with the same tool or model, in ms, newest first. */
export const StepDurations = z.object({
  kind: z.enum(["tool", "model"]),
  name: z.string().min(1).max(200),
  ms: z.array(z.number().int().nonnegative()).min(1).max(MAX_TURN_SAMPLES),
});
export type StepDurations = z.infer<typeof StepDurations>;

/** How long such steps take: the 99th percentile in ms, and of how many; 0 for a default. */
export interface Typical {
  readonly p99Ms: number;
  readonly samples: number;
}

/** The defaults, in ms. A tool that is not listed, for example one of an MCP server, has that of `other`. */
const DEFAULT_P99_MS = {
  // A model streams its answer, its reasoning too; some providers hold back the first part for a while.
  model: 20_000,
  prepare: 20_000,
  compaction: 60_000,
  agent: 30_000,
  finalize: 10_000,
  tool: {
    read: 10_000,
    write: 10_000,
    edit: 10_000,
    glob: 10_000,
    grep: 10_000,
    list: 10_000,
    todowrite: 10_000,
    // OpenCode's own default limits.
    bash: 120_000,
    webfetch: 30_000,
    // A sub-agent: it counts while no step of it is known.
    task: 60_000,
    other: 20_000,
  },
} as const;

/** Returns the 99th percentile of durations (nearest rank: the smallest value that 99 % do not exceed). @param samples at least one */
export function percentile99(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
}

/** Returns how long steps take, by their last durations, or by the defaults if there are too few. @param samples in ms, newest first */
export function typicalOf(kind: string, name: string, samples: readonly number[] = []): Typical {
  const last = samples.slice(0, SAMPLES_KEPT);
  if (last.length >= MIN_SAMPLES) return { p99Ms: percentile99(last), samples: last.length };
  return { p99Ms: defaultOf(kind, name), samples: 0 };
}

function defaultOf(kind: string, name: string): number {
  const { tool, ...others } = DEFAULT_P99_MS;
  if (kind === "tool") return Object.hasOwn(tool, name) ? tool[name as keyof typeof tool] : tool.other;
  return Object.hasOwn(others, kind) ? others[kind as keyof typeof others] : tool.other;
}

/** Returns how long such a step may be silent until that is unusual, in ms. */
export function quietAfterMs({ p99Ms }: Typical): number {
  return Math.max(MIN_QUIET_MS, QUIET_FACTOR * p99Ms);
}
