/** What a message and a workflow have in common as they look from outside. */
import { withoutUndefined } from "@valet/shared/without-undefined";
import { failedAs } from "../core/failed-as.ts";
import { isoTime } from "../core/iso-time.ts";
import { isTraced } from "../core/session-tracer.ts";
import type { JobRow } from "./job-store.ts";

/** The line for a sandbox. */
export interface CapacityLine {
  /** The session's place among those that wait for a sandbox, from 1; `undefined` where it does not wait. */
  readonly place: number | undefined;
}

export function viewJob(row: JobRow, { place }: CapacityLine) {
  const { id, status, channel, attempts, outcome, errorType, failure, reason, context } = row;
  const { acceptedMs, dispatchedMs, endedMs, userId, endedBy } = row;
  const isInLine = status === "queued" && reason === "capacity";
  return {
    id,
    status,
    channel,
    attempts,
    acceptedAt: isoTime(acceptedMs),
    ...(outcome === null ? {} : { outcome, ...failedAs(outcome, errorType, failure) }),
    ...withoutUndefined({
      userId: userId ?? undefined,
      abortedBy: endedBy ?? undefined,
      queueReason: reason ?? undefined,
      capacityPlace: isInLine ? place : undefined,
      traceId: isTraced(context) ? context.traceId : undefined,
      dispatchedAt: timeOf(dispatchedMs),
      endedAt: timeOf(endedMs),
    }),
  };
}

function timeOf(ms: number | null): string | undefined {
  return ms === null ? undefined : isoTime(ms);
}
