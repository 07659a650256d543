/** Durations as the page shows them: the shared texts without line breaks, and a dash for what is not known. Pure. */
import { ageText, breakdownText, durationText } from "@valet/shared/duration-text";

/** No line breaks within a figure. */
export const NBSP = "\u00a0";
/** Stands for what is not known. */
export const UNKNOWN = "–";

/**
 * Returns a duration as text.
 * @param ms `null` if it is not known
 * @param hasTenths keep tenths up to a minute, so that the parts of a breakdown add up
 */
export function formatDuration(ms: number | null | undefined, hasTenths = false): string {
  return shown(ms, hasTenths ? breakdownText : durationText);
}

/** Returns an age, to the second and rounded down, so that it never runs ahead: `0 s`, `46 s`, `2 m 14 s`. @param ms from then to now */
export function formatAge(ms: number | null | undefined): string {
  return shown(ms, ageText);
}

function shown(ms: number | null | undefined, text: (ms: number) => string): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  return text(ms).replaceAll(" ", NBSP);
}
