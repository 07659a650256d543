import { LIMITS } from "@valet/shared/limits";

/**
 * Waits for the answer of another object.
 * @throws Error when there is none in time, or what the call rejects with
 */
export async function withinCall<T>(call: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("another object gave no answer")), LIMITS.capacityCallMs);
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}
