/** The course of a job's time: what it was spent on, in order. Pure. */
import { type CoursePiece, MAX_COURSE_PIECES } from "../../protocol/why.ts";
import type { Segment } from "./critical-path.ts";

interface Period {
  readonly name: CoursePiece["name"];
  readonly detail: string | null;
  /** Since the start of the job. */
  readonly endMs: number;
}

/**
 * Returns the outermost steps of segments in order of time; neighbours that are the same part are one piece.
 * @param segments cover the job's time exactly, in order
 * @param startUs when the job began
 * @param wallMs what the pieces add up to
 */
export function courseOf(segments: readonly Segment[], startUs: number, wallMs: number): CoursePiece[] {
  const periods = segments.flatMap(({ path: [outermost], endUs }): Period[] => {
    if (outermost === undefined) return [];
    const { name, detail } = outermost;
    return [{ name, detail, endMs: Math.min(Math.round((endUs - startUs) / 1000), wallMs) }];
  });
  const pieces = piecesOf(periods);
  return pieces.length <= MAX_COURSE_PIECES ? pieces : piecesOf(evenly(periods, wallMs));
}

/** Returns periods as pieces, without those that take no whole millisecond. */
function piecesOf(periods: readonly Period[]): CoursePiece[] {
  const pieces: CoursePiece[] = [];
  let fromMs = 0;
  for (const { name, detail, endMs } of periods) {
    const ms = endMs - fromMs;
    if (ms <= 0) continue;
    fromMs = endMs;
    const last = pieces.at(-1);
    if (last?.name === name && last.detail === detail) pieces[pieces.length - 1] = { ...last, ms: last.ms + ms };
    else pieces.push({ name, detail, ms });
  }
  return pieces;
}

/** Returns as many periods as a course may have, of equal length, each with the part that had most of it. */
function evenly(periods: readonly Period[], wallMs: number): Period[] {
  const found: Period[] = [];
  let index = 0;
  let fromMs = 0;
  for (let share = 1; share <= MAX_COURSE_PIECES; share++) {
    const endMs = Math.round((wallMs * share) / MAX_COURSE_PIECES);
    const sums = new Map<string, Period & { readonly ms: number }>();
    while (fromMs < endMs) {
      const period = periods[index];
      if (period === undefined) break;
      const untilMs = Math.min(period.endMs, endMs);
      if (untilMs > fromMs) {
        const key = `${period.name}\n${period.detail ?? ""}`;
        sums.set(key, { ...period, endMs, ms: (sums.get(key)?.ms ?? 0) + untilMs - fromMs });
        fromMs = untilMs;
      }
      if (period.endMs <= endMs) index += 1;
    }
    const [most] = [...sums.values()].sort((a, b) => b.ms - a.ms);
    if (most !== undefined) found.push({ name: most.name, detail: most.detail, endMs });
  }
  return found;
}
