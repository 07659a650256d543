/**
 * What the page shows and could not read again, outside the cache of queries: it is read again until it succeeds, and meanwhile the page
 * says that it may be out of date.
 */
import { pauseMs } from "./backoff.ts";
import { isPassing, mayRetry, waitOf } from "./problem.ts";

const behind = new Map<Reread, unknown>();
const listeners = new Set<() => void>();

function changed(): void {
  for (const listener of listeners) listener();
}

/** The retries of one reader. */
export class Reread {
  readonly #read: () => void;
  readonly #untold: number;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param read reads again; afterwards it calls {@link failed} or {@link succeeded}
   * @param untold after so many failures in a row the page does not yet say that it may be out of date, unless the server asks for a
   *   long wait
   */
  constructor(read: () => void, untold = 0) {
    this.#read = read;
    this.#untold = untold;
  }

  /** Schedules the next attempt: later after each failure, and not before the server wants it. An error that stays is not tried again. */
  failed(error: unknown): void {
    if (!isPassing(error)) return this.succeeded();
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#read, Math.max(pauseMs(this.#failures, Math.random()), waitOf(error)));
    if (this.#failures <= this.#untold && mayRetry(error)) return;
    behind.set(this, error);
    changed();
  }

  /** Ends the retries: what is shown is up to date, or nobody looks at it any more. */
  succeeded(): void {
    this.#failures = 0;
    clearTimeout(this.#timer);
    if (behind.delete(this)) changed();
  }

  /** Reads at once instead of after the pause. */
  now(): void {
    clearTimeout(this.#timer);
    this.#read();
  }
}

/** For `useSyncExternalStore`. */
export const rereads = {
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  /** Returns why something could not be read again; `undefined` if everything was. */
  read: (): unknown => behind.values().next().value,
  /** Reads all of it again at once. */
  now(): void {
    for (const one of [...behind.keys()]) one.now();
  },
};
