import { BrokerError } from "./problem.ts";

/** No work takes longer than this, whatever a caller allows: a timer takes no more. */
const LONGEST_MS = 24 * 3600 * 1000;

/**
 * Runs work with the time that its caller allows it.
 * @param header the caller's word for that, in ms; without one, or with one that makes no sense, there is no limit
 * @param work is told by the signal when the time is up, and then ends with the signal's reason: `limit_exceeded`
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
