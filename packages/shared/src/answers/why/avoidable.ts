/** What of a job's cost was avoidable, and why. Each call counts for one reason only. Pure. */
import { knownSum } from "../../protocol/cost.ts";
import type { Avoidable } from "../../protocol/why.ts";
import { cacheLosses } from "./cache-losses.ts";
import type { ModelCall } from "./model-calls.ts";
import { type Amount, chargedTries, failedCalls, failovers, lostAttempts, type Waste } from "./repeated-work.ts";
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
    for (const { reason, calls: all, extra, sentence } of found) {
      const free = all.filter((call) => !claimed.has(call));
      if (free.length === 0 || isFree(free)) continue;
      for (const call of free) claimed.add(call);
      const amount = extra ?? sumOf(free);
      const spans = free.slice(0, MAX_SPANS).map(({ span }) => refer(span));
      entries.push({ reason, cost_usd: amount.usd, known: amount.isKnown, sentence: sentence(amount, free), spans });
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
  return calls.every(({ costUsd, isCostKnown, mayBeCharged }) => !mayBeCharged || (isCostKnown && costUsd === 0));
}

/** Returns the cost of calls. */
function sumOf(calls: readonly ModelCall[]): Amount {
  const charged = calls.filter(({ mayBeCharged }) => mayBeCharged);
  const missing = charged.filter(({ isCostKnown }) => !isCostKnown).length;
  const total = charged.reduce((sum, { costUsd }) => sum + (costUsd ?? 0), 0);
  return { usd: knownSum(total, missing), isKnown: missing === 0 };
}

function refer({ sessionId, traceId, spanId }: WhySpan) {
  return { sessionId, traceId, spanId };
}
