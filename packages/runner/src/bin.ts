#!/usr/bin/env -S bun --no-env-file --config=/dev/null --no-install
/**
 * The sandbox's entrypoint. It exits with 0 when it was told to stop, and otherwise with a code of sysexits.h: 77 when there is
 * no place for this runner, 78 when it was started wrongly, 74 when its folder cannot be used, 70 for a bug of its own. After 0,
 * 77 and 78 another start would end the same way.
 *
 * Signals are caught before the runner is loaded: until it exists there is nothing to clean up, and the process exits with 0.
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
    // The name only: the text may quote what stands in files.
    console.error(`valet runner: it cannot be loaded: ${error instanceof Error ? error.name : typeof error}`);
    process.exit(BUG);
  },
);
