/** Returns the result of `work` or, if that takes longer than `ms`, the result of `late`. */
export function within<T>(ms: number, work: Promise<T>, late: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(late()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Runs `work` after `ms`. The timer does not keep a Node process alive. */
export function later(ms: number, work: () => void): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, ms);
  // Outside Node and Bun a timer is a number.
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
