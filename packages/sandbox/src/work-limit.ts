import { BrokerError } from "./problem.ts";

/** The longest limit that is honoured: timers do not take longer ones. */
const LONGEST_MS = 24 * 3600 * 1000;

/**
 * Runs work within the time limit that its caller sets.
 * @param header the limit in ms; no limit when it is missing or invalid
 * @param work must end with the signal's reason, `limit_exceeded`, when the signal is aborted
 */
export async function withinLimit<T>(header: string | undefined, work: (limit: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const ms = Number(header);
  const timer =
    ms > 0 && ms <= LONGEST_MS
      ? setTimeout(() => controller.abort(new BrokerError("limit_exceeded", `it took longer than ${ms} ms`)), ms)
      : undefined;
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
  }
}
