/** Detects a hanging Worker: its process runs, but answers nothing. */
import { setTimeout as sleep } from "node:timers/promises";

export interface ProbeOptions {
  /** Probes the Worker; resolves with any answer. Aborted after {@link ProbeOptions.timeoutMs}. */
  readonly ask: (signal: AbortSignal) => Promise<unknown>;
  /** Called when the Worker has missed several probes in a row. */
  readonly onHung: (silentMs: number) => void;
  /** Stops the probing. */
  readonly signal: AbortSignal;
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
}

/** An answer can take many seconds on a busy machine, so only a minute without one counts as hanging. */
const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 15_000;
const MAX_MISSES = 3;

/**
 * Probes the Worker at intervals until the signal. A refused connection is not a missed probe, since crashes are
 * handled elsewhere.
 */
export async function probeWorker(options: ProbeOptions): Promise<void> {
  const { ask, onHung, signal, intervalMs = INTERVAL_MS, timeoutMs = TIMEOUT_MS } = options;
  let silentSinceMs: number | undefined;
  for (let misses = 0; await pause(intervalMs, signal); ) {
    const askedMs = performance.now();
    const timeout = AbortSignal.timeout(timeoutMs);
    const isMissed = await ask(AbortSignal.any([signal, timeout])).then(
      () => false,
      () => timeout.aborted,
    );
    silentSinceMs = isMissed ? (silentSinceMs ?? askedMs) : undefined;
    misses = isMissed ? misses + 1 : 0;
    if (misses < MAX_MISSES || signal.aborted) continue;
    onHung(performance.now() - (silentSinceMs ?? askedMs));
    misses = 0;
    silentSinceMs = undefined;
  }
}

/** @returns false when the signal was aborted */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
  return !signal.aborted;
}
