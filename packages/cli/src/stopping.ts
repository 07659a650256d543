/** Ends a command that goes on until somebody stops it, or nobody reads it any more. */

export interface Stopping {
  /** Aborted by SIGINT, SIGTERM, and the end of the reader of standard output. */
  readonly signal: AbortSignal;
  /** Lets signals end the process again. */
  release(): void;
}

export function untilStopped(): Stopping {
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  process.stdout.once("close", stop);
  process.stdout.once("error", stop);
  return {
    signal: stopping.signal,
    release: () => {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
    },
  };
}
