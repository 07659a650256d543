import { isLimitError, LIMIT_ERRORS, type LimitError } from "@valet/shared/limit-errors";
import fc from "fast-check";
import { expect, test } from "vitest";
import { limitThatEnded } from "./blame.ts";

const LIMITS = Object.values(LIMIT_ERRORS);
const someLimits = fc.uniqueArray(fc.constantFrom(...LIMITS));

test.each<[LimitError, string]>([
  ["sandbox_out_of_memory", "c++: fatal error: Killed signal terminated program cc1plus\nmake: *** Error 1"],
  ["sandbox_out_of_memory", "MemoryError"],
  ["sandbox_out_of_memory", "make: *** [Makefile:2: all] Error 137"],
  ["sandbox_out_of_memory", "process exited with code 137"],
  ["sandbox_out_of_processes", "bash: fork: Resource temporarily unavailable"],
  ["sandbox_out_of_processes", "sh: 0: Cannot fork"],
  ["sandbox_out_of_processes", "RuntimeError: can't start new thread"],
  ["sandbox_disk_full", "dd: error writing 'x': No space left on device"],
  ["sandbox_out_of_files", "Error: EMFILE: too many open files, open '/x'"],
])("%s, since the program says: %s", (limit, output) => {
  expect(limitThatEnded({ exitCode: 1, output }, LIMITS)).toBe(limit);
  expect(limitThatEnded({ exitCode: 1, output }, [])).toBeUndefined();
});

test("a program that was killed, as its signal or its shell tells, was killed at a limit that was hit", () => {
  for (const end of [{ exitCode: 137 }, { signal: "SIGKILL" }]) {
    expect(limitThatEnded({ ...end, output: "" }, ["sandbox_out_of_files", "sandbox_out_of_memory"])).toBe(
      "sandbox_out_of_memory",
    );
    expect(limitThatEnded({ ...end, output: "" }, ["sandbox_out_of_files"])).toBeUndefined();
  }
});

test("if a program met two limits, the first of them is its cause, whichever was noticed first", () => {
  const refused = "bash: fork: retry: Resource temporarily unavailable";
  for (const hits of [LIMITS, LIMITS.toReversed()]) {
    expect(limitThatEnded({ exitCode: 137, output: refused }, hits)).toBe("sandbox_out_of_processes");
    expect(limitThatEnded({ exitCode: 1, output: `${refused}\nKilled` }, hits)).toBe("sandbox_out_of_processes");
    expect(limitThatEnded({ exitCode: 1, output: `Killed\n${refused}` }, hits)).toBe("sandbox_out_of_memory");
  }
});

test("a file that became too large is the disk's limit, whatever else was hit", () => {
  fc.assert(
    fc.property(someLimits, (hits) => {
      expect(limitThatEnded({ exitCode: 153, output: "" }, hits)).toBe("sandbox_disk_full");
    }),
  );
});

test("whatever a program says, and however it ends, only a limit that was hit is its cause; with neither sign there is none", () => {
  const ends = fc.record({ exitCode: fc.constantFrom(1, 2, 137, undefined), output: fc.string() });
  fc.assert(
    fc.property(someLimits, ends, (hits, end) => {
      const limit = limitThatEnded(end, hits);
      if (limit !== undefined) expect(hits).toContain(limit);
      if (limit !== undefined) expect(isLimitError(limit)).toBe(true);
    }),
  );
  for (const output of ["2 tests failed", "137 tests failed", "at check (limits.ts:137:9)"]) {
    expect(limitThatEnded({ exitCode: 1, output }, LIMITS)).toBeUndefined();
  }
});
