/** What the records of a job's attempts say of its model calls beyond what spans tell: not all spans may have been read, or kept. Pure. */
import { knownSum, lacksCost } from "../../protocol/cost.ts";
import type { ModelMoney } from "../../protocol/why.ts";
import { type ModelCall, textOf } from "./model-calls.ts";
import type { SpanIndex } from "./span-index.ts";
import type { AttemptCost, WhyInput, WhySpan } from "./spans.ts";

export interface BeyondSpans {
  /** What records have beyond the spans, by model. */
  readonly rows: readonly ModelMoney[];
  /** Whether nothing is missing from spans and rows together, except what these say themselves. */
  readonly isWhole: boolean;
}

/** @param calls the job's own model calls, as far as spans tell them */
export function beyondSpans(input: WhyInput, index: SpanIndex, calls: readonly ModelCall[]): BeyondSpans {
  const { job, turns, running, lacksTurns, runnerGoneMs } = input;
  const byAttempt = callsByAttempt(index, calls);
  const rows = new Map<string | null, ModelMoney>();
  // Of a turn that runs, what a runner does that is not heard is unknown.
  let isWhole = lacksTurns !== true && running !== null && (job.state !== "running" || runnerGoneMs === undefined);
  const records = running == null ? turns : [...turns, running];
  // Calls whose attempt no span tells may be those of any: each record is without them, so that the sum is a lower bound.
  const strays = byAttempt.get(null) ?? [];
  if (strays.length > 0 && records.length > 1) isWhole = false;
  for (const told of records) {
    const row = rowOf(told, [...(byAttempt.get(told.attempt_id) ?? []), ...strays]);
    if (row.calls === 0 && !row.cost_usd) isWhole &&= row.known;
    else rows.set(row.model, together(rows.get(row.model), row));
  }
  return { rows: [...rows.values()], isWhole };
}

/** Adds up what two attempts cost by the same model. */
function together(first: ModelMoney | undefined, second: ModelMoney): ModelMoney {
  if (first === undefined) return second;
  const known = first.known && second.known;
  const tokens = (read: (row: ModelMoney) => number | null) => {
    const [one, other] = [read(first), read(second)];
    return knownSum((one ?? 0) + (other ?? 0), one === null || other === null ? 1 : 0);
  };
  return {
    ...second,
    cost_usd: knownSum((first.cost_usd ?? 0) + (second.cost_usd ?? 0), known ? 0 : 1),
    known,
    calls: first.calls + second.calls,
    tokens_input: tokens((row) => row.tokens_input),
    tokens_output: tokens((row) => row.tokens_output),
    tokens_cache_read: tokens((row) => row.tokens_cache_read),
    tokens_cache_write: tokens((row) => row.tokens_cache_write),
  };
}

function callsByAttempt(index: SpanIndex, calls: readonly ModelCall[]): ReadonlyMap<string | null, ModelCall[]> {
  // An agent calls its model a thousand times.
  const attempts = new Map<WhySpan | undefined, string | null>();
  return Map.groupBy(calls, ({ span }) => {
    const parent = index.parent(span);
    const known = attempts.get(parent);
    if (known !== undefined) return known;
    const ids = index.ancestors(span).map((ancestor) => textOf(ancestor, "valet.dispatch.attempt_id"));
    const id = ids.find((each) => each !== null) ?? null;
    attempts.set(parent, id);
    return id;
  });
}

/** Returns what the record of an attempt has beyond its calls: no calls and no cost if that is nothing. */
function rowOf(told: AttemptCost, known: readonly ModelCall[]): ModelMoney {
  const charged = known.filter(({ mayBeCharged }) => mayBeCharged);
  const lacking = charged.filter(({ isCostKnown }) => !isCostKnown).length;
  // What the spans lack as well, they say themselves.
  const isLacking = lacksCost(told) && (told.calls_without_cost || Number.POSITIVE_INFINITY) > lacking;
  const beyond = (total: number | null, read: (call: ModelCall) => number | null) =>
    total === null
      ? null
      : difference(
          total,
          charged.reduce((sum, call) => sum + (read(call) ?? 0), 0),
        );
  return {
    model: told.model,
    provider: null,
    agent: null,
    sub_agent: false,
    cost_usd: knownSum(beyond(told.cost_usd, ({ costUsd }) => costUsd) ?? 0, isLacking ? 1 : 0),
    known: !isLacking,
    calls: Math.max(0, (told.model_calls ?? 0) - known.length),
    tokens_input: beyond(told.tokens_input, ({ tokens }) => tokens.input),
    tokens_output: beyond(told.tokens_output, ({ tokens }) => tokens.output),
    tokens_cache_read: beyond(told.tokens_cache_read, ({ tokens }) => tokens.cacheRead),
    tokens_cache_write: beyond(told.tokens_cache_write, ({ tokens }) => tokens.cacheWrite),
  };
}

/** Returns by how much a total is more than a part; sums in another order differ a little. */
function difference(total: number, part: number): number {
  const more = total - part;
  return more > total * 1e-9 ? more : 0;
}
