/** A turn: its limits, and what the runner measures of it. */
import { z } from "zod";
import { MAX_FIGURE } from "./amounts.ts";
import { CHILD_SESSION_TOOLS } from "./child-sessions.ts";
import { ModelRef } from "./model-access.ts";

/** The limits of a turn, and the tools that loop detection ignores. */
export const TurnBounds = z.object({
  /** Requests to models: each try of a call counts, and so do those of sub-agents. */
  maxModelCalls: z.number().int().positive(),
  maxTurnMs: z.number().positive(),
  /** Tools that an agent may call again and again with the same arguments. */
  pollingTools: z.array(z.string().min(1).max(200)).max(100),
});
export type TurnBounds = z.infer<typeof TurnBounds>;

export const DEFAULT_TURN_BOUNDS: TurnBounds = {
  maxModelCalls: 500,
  maxTurnMs: 6 * 3_600_000,
  // An agent polls the status of its child sessions with it.
  pollingTools: [CHILD_SESSION_TOOLS.list],
};

/** No honest turn costs more. */
const MAX_COST_USD = 1e9;

const countOf = z.number().int().nonnegative();
const millis = z.number().nonnegative().max(MAX_FIGURE);
/** A figure beyond its bound is unknown: a provider's nonsense must not refuse the end of a turn. */
const tokens = z.number().nonnegative().max(MAX_FIGURE).nullable().catch(null);
const costUsd = z.number().nonnegative().max(MAX_COST_USD).nullable().catch(null);

/**
 * What the processes of a sandbox used while work went on, whichever of them was asked to: work at the same time shares it. Unknown is
 * absent.
 */
export const Usage = z.object({
  /** Processor time. Whole milliseconds. */
  cpuMs: millis.optional().catch(undefined),
  /** The most memory that they had at once, as often as it was looked at, without cached files. */
  memoryPeakBytes: countOf.optional().catch(undefined),
  /** What programs wrote to files on disks. */
  diskWrittenBytes: countOf.optional().catch(undefined),
});
export type Usage = z.infer<typeof Usage>;

/**
 * The measurements of one turn. Times are durations on the runner's monotonic clock. Tokens and cost are sums over the calls for
 * which they are known, and `null` if such a sum is 0 and calls are missing from it. The three counts at the end say what the
 * sums lack; they are absent if 0.
 */
export const TurnSummary = z.object({
  turnMs: millis,
  /** From the start of the first model call that answered to its first token. Whole milliseconds. */
  timeToFirstTokenMs: millis.optional(),
  /** The time before the first model call. Absent if the peer is older. */
  prepareMs: millis.optional(),
  modelMs: millis,
  toolMs: millis,
  permissionWaitMs: millis,
  /** A call that was retried is one. */
  modelCalls: countOf,
  toolCalls: countOf,
  toolErrors: countOf,
  /** Tries of model calls after each call's first. */
  retries: countOf,
  tokens: z.object({
    /** Including cached tokens. */
    input: tokens,
    /** Including reasoning tokens. */
    output: tokens,
    cacheRead: tokens,
    cacheWrite: tokens,
    reasoning: tokens,
  }),
  costUsd,
  /** Model calls that may have been charged but are not, or not wholly, included in the tokens, which are then a lower bound. */
  callsWithoutUsage: countOf.optional(),
  /** Model calls that may have been charged but are not, or not wholly, included in the cost, which is then a lower bound. */
  callsWithoutCost: countOf.optional(),
  /** Calls for which the provider reported impossible figures, for example a part that is larger than its whole. */
  callsWithOddUsage: countOf.optional(),
  /** Absent if the peer is older. */
  usage: Usage.optional().catch(undefined),
  /** The model that gave the answer. */
  model: ModelRef.optional(),
});
export type TurnSummary = z.infer<typeof TurnSummary>;

/** The summary in a frame. If it is not one, nothing is known about the work, but the rest of the frame counts. */
export const ReportedSummary = TurnSummary.optional().catch(undefined);
