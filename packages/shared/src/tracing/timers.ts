/** What `work` gives or, where that takes longer than `ms`, what `late` gives. */
export function within<T>(ms: number, work: Promise<T>, late: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(late()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Runs `work` after `ms`, unless the process has nothing else to do: waiting keeps no Node process alive. */
export function later(ms: number, work: () => void): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, ms);
  // Elsewhere a timer is a number.
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
