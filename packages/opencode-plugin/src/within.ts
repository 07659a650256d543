/** Waits for what may hang, so that OpenCode does not. */

/** Returns what `work` resolves to, or `undefined` after `ms`. @throws what `work` rejects with by then */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, Math.max(0, ms), undefined);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
