/** What was used between two readings, and which limit was hit. Pure. */
import { LIMIT_ERRORS, type LimitError } from "@valet/shared/limit-errors";
import type { Usage } from "@valet/shared/protocol/turn";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Reading } from "./meter.ts";

/** Returns the limits that were hit between two readings of the counters. */
export function hitsBetween(before: Reading, after: Reading): LimitError[] {
  const hasRisen = (read: (reading: Reading) => number | undefined) =>
    (read(after) ?? 0) > (read(before) ?? read(after) ?? 0);
  return [
    ...(hasRisen(({ oomKills }) => oomKills) ? [LIMIT_ERRORS.memory] : []),
    ...(hasRisen(({ refusedForks }) => refusedForks) ? [LIMIT_ERRORS.processes] : []),
    ...(after.isOutOfFiles ? [LIMIT_ERRORS.open_files] : []),
  ];
}

/**
 * Returns what was used. A total that has fallen lost a process whose figures nobody inherited, and is unknown.
 * @param peakBytes the most memory that any reading between the two shows
 */
export function usageBetween(before: Reading, after: Reading, peakBytes: number | undefined): Usage {
  const grown = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined || to < from ? undefined : Math.round(to - from);
  return withoutUndefined({
    cpuMs: grown(before.cpuMs, after.cpuMs),
    memoryPeakBytes: peakBytes,
    diskWrittenBytes: grown(before.writtenBytes, after.writtenBytes),
  });
}

/** Returns the larger of two figures of which either may be unknown. */
export function largest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}
