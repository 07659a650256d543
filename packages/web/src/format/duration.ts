/** Durations as text, at most two units: `375 ms`, `6.4 s`, `46 s`, `2 m 14 s`, `13 h 02 m`, `3 d 04 h`. Pure. */

/** No line breaks within a figure. */
export const NBSP = "\u00a0";
/** Stands for what is not known. */
export const UNKNOWN = "–";

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

/**
 * Returns a duration as text.
 * @param ms `null` if it is not known
 * @param hasTenths keep tenths up to a minute, so that the parts of a breakdown add up
 */
export function formatDuration(ms: number | null | undefined, hasTenths = false): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  if (ms < 0) return `−${formatDuration(-ms, hasTenths)}`;
  if (ms < 999.5) return `${Math.round(ms)}${NBSP}ms`;
  if (ms < (hasTenths ? 59_950 : 9_950)) return `${(ms / 1000).toFixed(1)}${NBSP}s`;
  return wholeSeconds(Math.round(ms / 1000));
}

/** Returns an age, to the second and rounded down, so that it never runs ahead: `0 s`, `46 s`, `2 m 14 s`. @param ms from then to now */
export function formatAge(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  // The clocks of browser and server differ: what lies ahead is new.
  return wholeSeconds(Math.max(0, Math.floor(ms / 1000)));
}

function wholeSeconds(seconds: number): string {
  if (seconds < MINUTE_S) return `${seconds}${NBSP}s`;
  if (seconds < HOUR_S) return twoUnits(seconds, MINUTE_S, "m", 1, "s");
  if (seconds < DAY_S) return twoUnits(seconds, HOUR_S, "h", MINUTE_S, "m");
  return twoUnits(seconds, DAY_S, "d", HOUR_S, "h");
}

function twoUnits(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)}${NBSP}${largeName}${NBSP}${String(rest).padStart(2, "0")}${NBSP}${smallName}`;
}
