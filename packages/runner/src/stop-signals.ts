/**
 * Catches the signals that tell the runner to stop, from the moment at which this module is evaluated. It imports nothing, so
 * that it is in place before anything that takes time to load.
 */

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

const received = Promise.withResolvers<void>();

for (const signal of SIGNALS) process.on(signal, () => received.resolve());

/** Resolves when a signal has told this process to stop; the signal may have come before anybody asked. */
export const stopRequested: Promise<void> = received.promise;
