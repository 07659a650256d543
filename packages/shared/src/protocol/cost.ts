/** Sums with unknown parts, which calls cost something, and costs as text for people. Pure. */
import type { ErrorType, Outcome } from "../spans.ts";
import { isAmount } from "./amounts.ts";

/**
 * Returns a sum, or `null` if it is unknown: a sum of 0 with a missing part says nothing.
 * @param total the sum of the known parts
 * @param missing how many parts are missing from it, completely or partly
 */
export function knownSum(total: number, missing: number): number | null {
  return total === 0 && missing > 0 ? null : total;
}

/**
 * Returns whether the sum of a measure of turns is a lower bound.
 * @param measure how many turns have a value, and of how many of these only a part is known
 * @param turns how many turns there are
 */
export function isLowerBound(
  measure: { readonly known: number; readonly partial?: number | undefined },
  turns: number,
): boolean {
  return measure.known < turns || (measure.partial ?? 0) > 0;
}

/** Returns whether the cost of a turn is unknown, or a lower bound. Records of earlier versions do not say what it lacks. */
export function lacksCost(turn: {
  readonly cost_usd: number | null;
  readonly calls_without_cost: number | null;
}): boolean {
  return turn.cost_usd === null || turn.calls_without_cost !== 0;
}

/**
 * Returns a cost as text: `$0.1234`, `at least $0.1234`, `cost unknown`. An amount too small for four decimals has two significant
 * digits, so that only a cost of 0 reads `$0.0000`.
 * @param usd in US dollars; `null` or absent if unknown
 * @param isPartial whether a part of the cost is missing
 */
export function costText(usd: number | null | undefined, isPartial = false): string {
  const known = knownSum(usd ?? 0, usd === null || usd === undefined || isPartial ? 1 : 0);
  if (known === null) return "cost unknown";
  return `${isPartial ? "at least " : ""}$${decimals(known)}`;
}

function decimals(usd: number): string {
  if (usd === 0 || usd >= 0.00005) return usd.toFixed(4);
  // Two significant digits without an exponent; `toFixed` takes at most 100 decimals.
  return usd.toFixed(Math.min(100, 1 - Math.floor(Math.log10(usd))));
}

/** The errors of calls that reached no model, which cost nothing. */
const UNCHARGED: ReadonlySet<string | undefined> = new Set<ErrorType>([
  "provider_rate_limited",
  "provider_overloaded",
  "provider_unavailable",
  "provider_failed",
  "provider_auth_failed",
  "provider_bad_request",
  "provider_not_found",
  "provider_out_of_credit",
  "context_overflow",
]);

/**
 * Returns whether a model call, or a try of one, may have cost something.
 * @param errorType of the call
 * @param hasBegun whether the model had begun to answer
 */
export function mayBeCharged(outcome: Outcome | null, errorType: string | undefined, hasBegun: boolean): boolean {
  return outcome !== "error" || hasBegun || !UNCHARGED.has(errorType);
}

/**
 * Returns whether a model call's own usage tells only a part of its cost: a side that the provider did not report, or tokens of a kind
 * without a price. What its failed tries may have cost is a question of its own: see {@link isChargedTry}.
 * @param read returns the value of an attribute; `undefined` if the call has none of that key
 */
export function isHalfKnown(read: (key: string) => unknown): boolean {
  const sides = ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"];
  return read("valet.llm.cost_partial") === true || !sides.every((key) => isAmount(read(key)));
}

/** The attributes of a try that say whether it may have been charged. */
export const CHARGE_KEYS = ["error.type", "gen_ai.response.time_to_first_chunk"] as const;

/** What says whether a try of a model call may have been charged. */
export interface EndedTry {
  readonly name: string;
  readonly outcome: Outcome | null;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/**
 * Returns whether an ended span is a try of a model call that failed and may have been charged: its cost is never known. An `ok` one is
 * a part of its call's own usage.
 */
export function isChargedTry(span: EndedTry): boolean {
  return span.name === "valet.llm.try" && span.outcome !== "ok" && mayHaveCost(span);
}

/** Returns whether an ended span of a model call, or of a try of one, may have cost something. */
export function mayHaveCost({ outcome, attributes }: EndedTry): boolean {
  const [errorType, firstChunk] = CHARGE_KEYS.map((key) => attributes[key]);
  return mayBeCharged(outcome, typeof errorType === "string" ? errorType : undefined, firstChunk !== undefined);
}
