/** Another object that gives no answer for this long gives none. */
const CALL_MS = 10_000;

/**
 * Waits for the answer of another object.
 * @throws Error when there is none in time, or what the call rejects with
 */
export async function withinCall<T>(call: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("another object gave no answer")), CALL_MS);
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}
