/** Times and durations that people give on the command line. Pure. */
import { UserError } from "./errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Returns a duration in milliseconds; `undefined` for any other text. A number alone has the unit `unit`. */
export function parseDuration(text: string, unit?: string): number | undefined {
  const [, count, given = unit] = /^(\d+(?:\.\d+)?) ?([a-z]+)?$/.exec(text.trim()) ?? [];
  const unitMs = given === undefined ? undefined : UNIT_MS[given];
  const ms = unitMs === undefined ? Number.NaN : Number(count) * unitMs;
  return Number.isFinite(ms) ? ms : undefined;
}

/** A date, or a date with a time, in which a space may stand for the T. */
const ISO_TIME = /^(\d{4}-\d\d-\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Returns an ISO time in milliseconds; NaN for any other text. `Date.parse` alone takes a forgotten unit for a month or a year (7: July
 * 2001; 40: 2039) and February 30 for a day in March.
 */
export function parseIsoTime(text: string): number {
  const trimmed = text.trim();
  const day = ISO_TIME.exec(trimmed)?.[1];
  if (day === undefined) return Number.NaN;
  const dayMs = Date.parse(day);
  const isOnCalendar = !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(day);
  return isOnCalendar ? Date.parse(trimmed) : Number.NaN;
}

/** Returns a time in UTC, ISO 8601: that of the text, or as long ago as it says. @throws UserError */
export function timeOf(option: string, text: string, nowMs: number): string {
  const ago = parseDuration(text);
  const ms = ago === undefined ? parseIsoTime(text) : nowMs - ago;
  if (!(Math.abs(ms) <= MAX_TIME_MS)) {
    throw new UserError(
      `${option}: ${text} is no time. Give an ISO time (2026-11-27T08:00:00Z), or an age such as 30m, 24h, 7d.`,
    );
  }
  return new Date(ms).toISOString();
}

/** The last time that a Date holds. */
const MAX_TIME_MS = 8.64e15;
