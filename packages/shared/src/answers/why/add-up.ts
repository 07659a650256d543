/** Adds segments up to parts, in whole milliseconds that add up exactly on each level. Pure. */
import { MAX_PART_SPANS, type Part } from "../../protocol/why.ts";
import type { Segment } from "./critical-path.ts";
import type { WhySpan } from "./spans.ts";
import { type Step, stepOf } from "./step.ts";

/** How many parts of one list are told apart by their detail; the smaller ones count together by name. */
const MAX_DETAILED = 30;

interface Sum {
  readonly step: Step;
  us: number;
  cause: string | null;
  /** How much of it each span explains. */
  readonly spans: Map<WhySpan, number>;
  readonly parts: Sums;
}
type Sums = Map<string, Sum>;

/** Returns the parts of segments that do not overlap. @param wholeMs what they add up to */
export function addUp(segments: readonly Segment[], wholeMs: number): Part[] {
  const sums: Sums = new Map();
  for (const { startUs, endUs, path } of segments) {
    let level = sums;
    for (const step of path) {
      const sum = sumOf(level, step);
      add(sum, endUs - startUs, step);
      level = sum.parts;
    }
  }
  return partsOf(sums, wholeMs);
}

function sumOf(sums: Sums, step: Step): Sum {
  const key = `${step.name}\n${step.detail ?? ""}`;
  const known = sums.get(key);
  if (known !== undefined) return known;
  const sum: Sum = { step, us: 0, cause: null, spans: new Map(), parts: new Map() };
  sums.set(key, sum);
  return sum;
}

function add(sum: Sum, us: number, { span, cause }: Step): void {
  sum.us += us;
  sum.cause ??= cause;
  if (span === null) return;
  sum.spans.set(span, (sum.spans.get(span) ?? 0) + us);
}

function partsOf(sums: Sums, wholeMs: number): Part[] {
  const bounded = bound([...sums.values()].sort((a, b) => b.us - a.us));
  const ms = apportion(
    bounded.map(({ us }) => us / 1000),
    wholeMs,
  );
  return bounded
    .flatMap((sum, index): Part[] => {
      const own = ms[index] ?? 0;
      return own === 0 ? [] : [partOf(sum, own)];
    })
    .sort((a, b) => b.ms - a.ms);
}

function partOf(sum: Sum, ms: number): Part {
  const { step, cause, spans, parts } = sum;
  const left = sum.us - [...parts.values()].reduce((total, part) => total + part.us, 0);
  // What is not of one of the parts below.
  if (parts.size > 0 && left > 0)
    add(sumOf(parts, stepOf("unattributed", null)), left, stepOf("unattributed", step.span, null, null));
  const named = [...spans]
    .sort(([, a], [, b]) => b - a)
    .slice(0, MAX_PART_SPANS)
    .map(([{ sessionId, traceId, spanId }, us]) => ({ sessionId, traceId, spanId, ms: Math.round(us / 1000) }));
  return {
    name: step.name,
    detail: step.detail,
    ms,
    spans: named,
    spanCount: spans.size,
    cause,
    parts: partsOf(parts, ms),
  };
}

/** Joins the smallest of many parts by their names. @param sums largest first */
function bound(sums: readonly Sum[]): readonly Sum[] {
  if (sums.length <= MAX_DETAILED) return sums;
  const joined: Sums = new Map();
  for (const sum of sums.slice(MAX_DETAILED)) join(sumOf(joined, { ...sum.step, detail: null, cause: null }), sum);
  return [...sums.slice(0, MAX_DETAILED), ...joined.values()];
}

function join(into: Sum, { us, cause, spans, parts }: Sum): void {
  into.us += us;
  into.cause ??= cause;
  for (const [span, each] of spans) into.spans.set(span, (into.spans.get(span) ?? 0) + each);
  for (const part of parts.values()) join(sumOf(into.parts, part.step), part);
}

/**
 * Rounds values so that they add up to a whole number: down first, then those with the largest remainders up.
 * @param total the sum of the values, rounded down or up
 */
function apportion(values: readonly number[], total: number): number[] {
  const rounded = values.map(Math.floor);
  const left = total - rounded.reduce((sum, value) => sum + value, 0);
  const byRemainder = values
    .map((value, index) => ({ index, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder);
  for (const { index } of byRemainder.slice(0, Math.max(left, 0))) rounded[index] = (rounded[index] ?? 0) + 1;
  return rounded;
}
