/** Durations of a breakdown, rounded so that what is shown adds up to the shown whole. Pure. */
import { NBSP } from "./duration.ts";

const HOUR_MS = 60 * 60_000;

/** The unit of a breakdown's figures, in ms: tenths of a second; whole seconds of an hour and more. */
export function unitOf(wholeMs: number): number {
  return wholeMs < HOUR_MS - 50 ? 100 : 1000;
}

/**
 * Rounds values to whole units that add up to a given number: down first, then those with the largest remainders up, the first
 * of equal ones first.
 * @param units what they add up to
 */
export function evenUnits(values: readonly number[], units: number): number[] {
  const sum = values.reduce((total, value) => total + value, 0);
  if (sum <= 0) return values.map(() => 0);
  const exact = values.map((value) => (value / sum) * units);
  const rounded = exact.map(Math.floor);
  const left = units - rounded.reduce((total, value) => total + value, 0);
  const byRemainder = exact
    .map((value, index) => ({ index, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (const { index } of byRemainder.slice(0, left)) rounded[index] = (rounded[index] ?? 0) + 1;
  return rounded;
}

/**
 * Returns a number of units as text: `46.0 s`, `1 m 52.0 s`; of whole seconds `1 h 02 m 05 s`. What is there and rounds to nothing is
 * `<0.1 s`.
 * @param unitMs the unit: 100 or 1000 ms
 */
export function formatUnits(units: number, unitMs: number): string {
  const digits = unitMs < 1000 ? 1 : 0;
  if (units === 0) return `<${(unitMs / 1000).toFixed(digits)}${NBSP}s`;
  const perSecond = 1000 / unitMs;
  const seconds = (units % (60 * perSecond)) / perSecond;
  const minutes = Math.floor(units / (60 * perSecond));
  if (minutes === 0) return `${seconds.toFixed(digits)}${NBSP}s`;
  const hours = Math.floor(minutes / 60);
  const inMinute = seconds.toFixed(digits).padStart(digits === 0 ? 2 : 4, "0");
  const inHour = hours === 0 ? `${minutes}` : String(minutes % 60).padStart(2, "0");
  return `${hours === 0 ? "" : `${hours}${NBSP}h${NBSP}`}${inHour}${NBSP}m${NBSP}${inMinute}${NBSP}s`;
}
