/** What an answer of the API is made of, in plain words. Pure. */
import { isLowerBound } from "@valet/shared/protocol/cost";
import type { Schemas } from "../../api/client.ts";
import { formatCount, formatMoney } from "../../format/figures.ts";

type Stats = Schemas["TurnStats"];
type Outcomes = Schemas["TurnGroup"]["outcomes"];

/** Returns a time in UTC, as the API's periods are: `27 Nov, 04:00`. */
export function utcText(iso: string): string {
  const time = new Date(iso);
  const [, day = "", month = ""] = time.toUTCString().split(" ");
  return `${Number(day)}\u00a0${month},\u00a0${iso.slice(11, 16)}`;
}

/** Returns how exact the percentiles are, and over which period, as sentences. */
export function sourceText({ from, to, source, error_bound, incomplete }: Stats): string {
  const period = `From ${utcText(from)} to ${utcText(to)} (UTC).`;
  const exactness =
    source === "turns"
      ? "Percentiles are exact: they come from the turns themselves."
      : `Percentiles come from hourly sums, within ${Number((error_bound * 100).toFixed(1))}\u00a0% of the exact ones; counts and costs are exact.`;
  const missing = incomplete === true ? " Turns from before an upgrade are still being added." : "";
  return `${period} ${exactness}${missing}`;
}

/** Returns how many turns have no value, and how many have a lower bound, which percentiles count as it is; empty for none. */
export function gapsText(unknown: number, partial: number): string {
  const texts = [
    ...(unknown > 0 ? [`${formatCount(unknown)} not known`] : []),
    ...(partial > 0 ? [`${formatCount(partial)} ${partial === 1 ? "lower bound" : "lower bounds"}`] : []),
  ];
  return texts.join(", ");
}

/** Returns what a sorted list leaves out; `undefined` if it is in order of time. */
export function sortedText({ sorted, partial }: Pick<Schemas["OwnerTurns"], "sorted" | "partial">): string | undefined {
  if (sorted === undefined) return undefined;
  const period = `Sorted: the turns that ended from ${utcText(sorted.from)} to ${utcText(sorted.to)} (UTC) and have this value.`;
  return partial === true ? `${period} Only the 10,000 newest of them were sorted: choose a shorter period.` : period;
}

/** Returns the number of turns, their cost and failures: `1,284 turns · $301.20 · 36 failed`. */
export function totalText({ turns, outcomes, measures }: Schemas["TurnGroup"]): string {
  const { cost_usd } = measures;
  const failed = failedOf(outcomes);
  const cost =
    turns === 0
      ? []
      : [cost_usd.sum === null ? "cost not known" : formatMoney(cost_usd.sum, isLowerBound(cost_usd, turns))];
  const failures = failed === 0 ? [] : [`${formatCount(failed)} failed or lost`];
  return [turns === 1 ? "1 turn" : `${formatCount(turns)} turns`, ...cost, ...failures].join(" · ");
}

/** Returns how many turns failed, or were lost. */
export function failedOf({ error = 0, lost = 0 }: Outcomes): number {
  return error + lost;
}
