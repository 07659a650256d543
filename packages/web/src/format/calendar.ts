/** Parts of dates as text. Pure. */

export const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;
export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;

/** Returns a number with two digits at least: `07`. */
export function two(part: number): string {
  return String(part).padStart(2, "0");
}
