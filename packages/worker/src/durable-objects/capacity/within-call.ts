import { LIMITS } from "@valet/shared/limits";

/**
 * Waits for another object's answer.
 * @throws Error after the timeout, or the call's own error
 */
export async function withinCall<T>(call: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("another object did not answer in time")), LIMITS.capacityCallMs);
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}
