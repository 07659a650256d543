#!/usr/bin/env -S bun --no-env-file --config=/dev/null --no-install
/**
 * The sandbox's entrypoint. Exit codes: 0 after a request to stop, otherwise a code of sysexits.h: 77 if the SessionAgent
 * refused this runner, 78 if its settings are invalid or OpenCode's plugin cannot be read, 74 if its state folder cannot be used, 70 for an internal error.
 * After 0, 77 and 78 a restart would not help.
 *
 * Signals are caught before the runner is loaded. Until it exists there is nothing to clean up, and the process exits with 0.
 */
import { stopRequested } from "./stop-signals.ts";

const BUG = 70;

let isLoaded = false;
void stopRequested.then(() => {
  if (!isLoaded) process.exit(0);
});
import("./main.ts").then(
  ({ main }) => {
    isLoaded = true;
    return main(stopRequested);
  },
  (error: unknown) => {
    // Only the name, since the message may quote files.
    console.error(`valet runner: the runner cannot be loaded: ${error instanceof Error ? error.name : typeof error}`);
    process.exit(BUG);
  },
);
