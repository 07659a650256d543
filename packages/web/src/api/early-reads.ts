/**
 * Answers that a route asks for while the code of its page is still being loaded, so that both come at the same time. Who reads first
 * takes the answer; later reads ask again.
 */

/** An older answer is not taken any more, ms. */
const LIFETIME_MS = 5_000;

interface EarlyRead {
  readonly answer: Promise<unknown>;
  readonly atMs: number;
}

const early = new Map<string, EarlyRead>();

/** Asks for what will be read in a moment. */
export function readEarly(key: string, read: () => Promise<unknown>): void {
  const answer = read();
  // Who takes it hears of the error.
  answer.catch(() => {});
  early.set(key, { answer, atMs: performance.now() });
}

/** Returns the answer that was asked for early, once; otherwise asks now. */
export function readOnce<T>(key: string, read: () => Promise<T>): Promise<T> {
  const known = early.get(key);
  early.delete(key);
  if (known === undefined || performance.now() - known.atMs > LIFETIME_MS) return read();
  return known.answer as Promise<T>;
}
