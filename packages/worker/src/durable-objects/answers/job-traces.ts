/** Which traces have the spans of a job: its own, and those of its attempts in batches. */
import { isTraced } from "../core/session-tracer.ts";
import type { JobRow, JobStore } from "../queue/job-store.ts";

/** A message is tried a few times only (queue-rules.ts). */
const MAX_TRACES = 10;

/**
 * @param before returns the traces of the dispatches that those of a trace follow
 * @returns their ids, the job's own first; none if tracing was off
 */
export function jobTraces(
  jobs: Pick<JobStore, "attempt">,
  { context, attemptId, lastDispatch }: JobRow,
  before: (traceId: string) => readonly string[],
): string[] {
  const dispatched = [jobs.attempt(attemptId ?? "")?.context, lastDispatch ?? undefined];
  const contexts = [context, ...dispatched.filter((each) => each !== undefined)].filter(isTraced);
  const own = contexts[0]?.traceId;
  const found = new Set(contexts.map(({ traceId }) => traceId));
  // The set grows while it is read.
  for (const traceId of found) {
    if (traceId === own) continue;
    for (const each of before(traceId)) if (found.size < MAX_TRACES) found.add(each);
  }
  return [...found];
}
