/** Durations and ages as text, at most two units: `375 ms`, `6.4 s`, `46 s`, `2 m 14 s`, `13 h 02 m`, `3 d 04 h`. Pure. */

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

/** Returns a duration as text: to the nearest second up to an hour, and rounded down to its smaller unit from there on. @param ms finite */
export function durationText(ms: number): string {
  return textOf(ms, 9_950);
}

/** Returns a duration as text with tenths of a second up to a minute, so that the parts of a breakdown add up. @param ms finite */
export function breakdownText(ms: number): string {
  return textOf(ms, 59_950);
}

/** @param tenthsMs from when on there are no tenths of a second */
function textOf(ms: number, tenthsMs: number): string {
  if (ms < 0) return `−${textOf(-ms, tenthsMs)}`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  return ms < tenthsMs ? `${(ms / 1000).toFixed(1)} s` : wholeText(Math.round(ms / 1000));
}

/**
 * Returns an age as text, in whole seconds and rounded down, so that it never runs ahead: `0 s`, `46 s`, `2 m 14 s`.
 * @param ms from then to now, finite. Clocks differ: what lies ahead is new
 */
export function ageText(ms: number): string {
  return wholeText(Math.max(0, Math.floor(ms / 1000)));
}

/**
 * Returns a limit as text. Limits are round figures, so a smaller unit of 0 is left out: `5 s`, `30 s`, `10 m`, `1 h 30 m`.
 * @param ms not negative
 */
export function limitText(ms: number): string {
  if (ms < 9_950 && ms % 1000 !== 0) return durationText(ms);
  return wholeText(Math.round(ms / 1000)).replace(/ 00 [smh]$/, "");
}

function wholeText(seconds: number): string {
  if (seconds < MINUTE_S) return `${seconds} s`;
  if (seconds < HOUR_S) return twoUnits(seconds, "m", "s", MINUTE_S);
  const minutes = Math.floor(seconds / MINUTE_S);
  if (seconds < DAY_S) return twoUnits(minutes, "h", "m", HOUR_S / MINUTE_S);
  return twoUnits(Math.floor(seconds / HOUR_S), "d", "h", DAY_S / HOUR_S);
}

/** @param count of the smaller unit */
function twoUnits(count: number, large: string, small: string, size: number): string {
  return `${Math.floor(count / size)} ${large} ${String(count % size).padStart(2, "0")} ${small}`;
}
