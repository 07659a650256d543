/** Starts the Worker's upkeep every few minutes, as the platform does with a deployed Worker (`triggers` in wrangler.jsonc). */
import { setTimeout as sleep } from "node:timers/promises";

const EVERY_MS = 5 * 60_000;

export interface UpkeepOptions {
  /** Runs it once. */
  readonly run: () => Promise<unknown>;
  /** Receives why a run failed: while the Worker is being restarted, for example. */
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
}

/** Runs until the signal, the first time at once. Never rejects. */
export async function keepUp({ run, log, signal, everyMs = EVERY_MS }: UpkeepOptions): Promise<void> {
  while (!signal.aborted) {
    try {
      await run();
    } catch (error) {
      if (!signal.aborted) log(`The upkeep could not run: ${(error as Error).message}`);
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {});
  }
}
