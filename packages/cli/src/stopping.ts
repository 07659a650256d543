/** Ends a command that goes on until somebody stops it, or nobody reads it any more. */
import { ExitCode } from "./errors.ts";

/** The signals that end a wait, with the exit codes that shells give them (128 + the signal's number). */
export const STOP_SIGNALS = { SIGINT: ExitCode.INTERRUPTED, SIGTERM: ExitCode.TERMINATED } as const;
export type StopSignal = keyof typeof STOP_SIGNALS;

export interface Stopping {
  /** Aborted by SIGINT, SIGTERM, and the end of the reader of standard output. */
  readonly signal: AbortSignal;
  /** The signal that came; `undefined` if none did, also when nobody reads any more. */
  readonly stoppedBy: StopSignal | undefined;
  /** Lets signals end the process again. */
  release(): void;
}

export function untilStopped(): Stopping {
  const stopping = new AbortController();
  let stoppedBy: StopSignal | undefined;
  const stop = () => stopping.abort();
  const interrupt = (signal: StopSignal) => {
    stoppedBy = signal;
    stop();
  };
  const release = onStopSignal(interrupt);
  process.stdout.once("close", stop);
  process.stdout.once("error", stop);
  return {
    signal: stopping.signal,
    get stoppedBy() {
      return stoppedBy;
    },
    release,
  };
}

/** Calls `act` at the first signal of each kind in place of the process's end. @returns a function that undoes this */
export function onStopSignal(act: (signal: StopSignal) => void): () => void {
  const signals = Object.keys(STOP_SIGNALS) as StopSignal[];
  for (const signal of signals) process.once(signal, act);
  return () => {
    for (const signal of signals) process.off(signal, act);
  };
}
