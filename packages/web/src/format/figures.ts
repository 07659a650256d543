/** Counts, money, tokens and times as text. Pure. */
import { MONTHS, two, WEEKDAYS } from "./calendar.ts";
import { NBSP, UNKNOWN } from "./duration.ts";

const GROUPS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** Returns a count: `377`, `9,150`. */
export function formatCount(count: number | null | undefined): string {
  return count === null || count === undefined ? UNKNOWN : GROUPS.format(count);
}

/** Returns a number of tokens: `377`, `9,150`, `11.2 k`, `1.4 M`. */
export function formatTokens(count: number | null | undefined): string {
  if (count === null || count === undefined) return UNKNOWN;
  if (count < 9_999.5) return GROUPS.format(count);
  return count < 999_950 ? `${(count / 1000).toFixed(1)}${NBSP}k` : `${(count / 1_000_000).toFixed(1)}${NBSP}M`;
}

/**
 * Returns an amount of money: `$0.71`, below a cent with three decimals, `$12.40`; `≥ $0.71` for a lower bound.
 * @param usd `null` if it is not known
 */
export function formatMoney(usd: number | null | undefined, isPartial = false): string {
  if (usd === null || usd === undefined) return UNKNOWN;
  const isSmall = usd > 0 && usd < 0.01;
  const text = isSmall && usd < 0.0005 ? "<$0.001" : `$${usd.toFixed(isSmall ? 3 : 2)}`;
  return isPartial ? `≥${NBSP}${text}` : text;
}

/** Returns a time of day today, `12:49:50`, and else the day, too: `Wed 25, 09:12`; `25 Nov 2025` when a year is needed to tell. */
export function formatTime(time: Date, now: Date): string {
  if (Number.isNaN(time.getTime())) return UNKNOWN;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (time.toDateString() === now.toDateString()) return `${clock}:${two(time.getSeconds())}`;
  const isNear = Math.abs(now.getTime() - time.getTime()) < 25 * 24 * 60 * 60_000;
  if (isNear) return `${WEEKDAYS[time.getDay()]}${NBSP}${time.getDate()},${NBSP}${clock}`;
  return `${time.getDate()}${NBSP}${MONTHS[time.getMonth()]}${NBSP}${time.getFullYear()}`;
}

/** Returns a time to the millisecond, with its date, for tooltips and panels: `2026-11-25 12:49:50.204`. */
export function formatExactTime(time: Date): string {
  if (Number.isNaN(time.getTime())) return UNKNOWN;
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return `${day} ${clock}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}
