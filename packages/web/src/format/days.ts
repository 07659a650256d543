/** Days of UTC. Pure. */
import { MONTHS } from "./calendar.ts";

const DAY_MS = 86_400_000;
const MAX_DAYS = 400;

/** Returns the days of a period, UTC, those without a turn among them, since a day that is missing would hide the pause. */
export function daysOf(from: string, to: string): string[] {
  const first = Math.floor(Date.parse(from) / DAY_MS);
  const last = Math.floor((Date.parse(to) - 1) / DAY_MS);
  const days = Math.min(MAX_DAYS, Math.max(0, last - first + 1));
  return Array.from({ length: days }, (_, index) =>
    new Date((last - days + 1 + index) * DAY_MS).toISOString().slice(0, 10),
  );
}

/** Returns a day as text: `13 Nov`. @param day YYYY-MM-DD */
export function dayText(day: string): string {
  return `${Number(day.slice(8, 10))}\u00a0${MONTHS[Number(day.slice(5, 7)) - 1] ?? ""}`;
}
