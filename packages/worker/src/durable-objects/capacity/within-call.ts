import { LIMITS } from "@valet/shared/limits";

/**
 * Waits for another object's answer.
 * @param ms the timeout
 * @throws Error after the timeout, or the call's own error
 */
export async function withinCall<T>(call: Promise<T>, ms: number = LIMITS.capacityCallMs): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("another object did not answer in time")), ms);
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}
