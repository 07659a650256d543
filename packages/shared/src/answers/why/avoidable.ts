/** What of a job's cost was avoidable, and why. Each call counts for one reason only. Pure. */
import type { Avoidable } from "../../protocol/why.ts";
import { cacheLosses } from "./cache-losses.ts";
import type { ModelCall } from "./model-calls.ts";
import { chargedTries, failedCalls, failovers, lostAttempts, type Waste } from "./repeated-work.ts";
import type { SpanIndex } from "./span-index.ts";
import type { WhySpan } from "./spans.ts";
import { toolLoops } from "./tool-loops.ts";

/** How many spans an entry names at most. */
const MAX_SPANS = 20;

/**
 * @param own the spans of the job's own work
 * @param calls its model calls, in their order
 * @param all these, and the calls of other jobs, which tell what was cached
 */
export function avoidable(
  index: SpanIndex,
  own: readonly WhySpan[],
  calls: readonly ModelCall[],
  all: readonly ModelCall[],
): Avoidable[] {
  const entries: Avoidable[] = [];
  const claimed = new Set<ModelCall>();
  const claim = (found: readonly Waste[]) => {
    for (const { reason, calls: all, costUsd, sentence } of found) {
      const free = all.filter((call) => !claimed.has(call));
      if (free.length === 0 || isFree(free)) continue;
      for (const call of free) claimed.add(call);
      const cost_usd = costUsd === undefined ? sumOf(free) : costUsd;
      const spans = free.slice(0, MAX_SPANS).map(({ span }) => refer(span));
      entries.push({ reason, cost_usd, sentence: sentence(cost_usd, free), spans });
    }
  };
  claim(lostAttempts(index, own, calls));
  claim(failovers(index, own, calls));
  claim(failedCalls(calls));
  claim(toolLoops(own, calls));
  const free = calls.filter((call) => !claimed.has(call));
  claim(cacheLosses(index, free, all));
  claim(chargedTries(free.filter((call) => !claimed.has(call))));
  return entries;
}

/** Whether calls are known to have cost nothing: then nothing could have been saved. */
function isFree(calls: readonly ModelCall[]): boolean {
  return calls.every(({ costUsd, isCostKnown }) => isCostKnown && costUsd === 0);
}

/** Returns the known cost of calls; `null` if none is known. */
function sumOf(calls: readonly ModelCall[]): number | null {
  const costs = calls.flatMap(({ costUsd }) => costUsd ?? []);
  return costs.length === 0 ? null : costs.reduce((sum, cost) => sum + cost, 0);
}

function refer({ sessionId, traceId, spanId }: WhySpan) {
  return { sessionId, traceId, spanId };
}
