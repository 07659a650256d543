/**
 * Catches the signals that tell the runner to stop, from the moment at which this module is evaluated. It imports nothing,
 * because imports would take time in which signals are not caught.
 */

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

const received = Promise.withResolvers<void>();

for (const signal of SIGNALS) process.on(signal, () => received.resolve());

/** Resolves once a signal has told this process to stop, also if the signal arrived before the first reader. */
export const stopRequested: Promise<void> = received.promise;
