import fc from "fast-check";
import { test } from "vitest";

/** What one test takes: small enough to show progress. */
const RUNS_PER_TEST = 10_000;
/** The time that one input may take on average, on a machine that does much else. The slowest property takes 2 ms on a free one. */
const MAX_RUN_MS = 30;

/** Environment variables that begin with `VITE_`, which Vite hands on to every runtime; each declares `env` in its own way. */
const { env: variables } = import.meta as unknown as { readonly env: { readonly VITE_FUZZ_RUNS?: string } };

/** Inputs a property in the ordinary suite, whose seeds differ from run to run. `pnpm fuzz` sets another number. */
const ORDINARY_RUNS = 2_000;
const RUNS = Number(variables.VITE_FUZZ_RUNS ?? ORDINARY_RUNS);

/**
 * Registers the tests that put a property to random inputs, with a new seed each; a failure prints its seed and the smallest
 * input that shows it.
 * @param check throws when the property does not hold
 */
export function fuzz<T>(name: string, inputs: fc.Arbitrary<T>, check: (input: T) => void): void {
  const property = fc.property(inputs, check);
  for (let done = 0; done < RUNS; done += RUNS_PER_TEST) {
    const numRuns = Math.min(RUNS_PER_TEST, RUNS - done);
    const title = RUNS > RUNS_PER_TEST ? `${name}, from input ${done + 1}` : name;
    test(title, { timeout: numRuns * MAX_RUN_MS }, () => fc.assert(property, { numRuns, includeErrorInReport: true }));
  }
}
