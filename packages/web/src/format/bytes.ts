/** Sizes as people read them: `12 kB`, `1.4 MB`. Pure. */

const UNITS = ["B", "kB", "MB", "GB"];

/** @param bytes a whole number of bytes. The figure and its unit are one unbroken word; a thousand of a unit is one of the next */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)}\u00a0${UNITS[unit]}`;
}
