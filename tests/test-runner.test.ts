/** What the end of `pnpm test` says, on a package that is made for it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const TEST = 'import { expect, test, describe } from "vitest";\n';
const PASSES = `${TEST}test("adds", () => expect(1 + 1).toBe(2));`;

/** Runs a package's tests as `pnpm test` does. @returns the exit code, and the lines at the end that are our own */
function run(files: Record<string, string>): { code: number | null; end: string[] } {
  const folder = mkdtempSync(join(tmpdir(), "valet-test-runner-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "src"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, "src", name), text);
  const { VALET_TEST_RESULTS: _outer, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [join(ROOT, "scripts/test.ts")], {
    ...{ cwd: folder, encoding: "utf8" as const, env },
  });
  const lines = stdout.trimEnd().split("\n");
  const first = lines.lastIndexOf("Failed:");
  // Files are named relative to the repository.
  const end = lines.slice(first < 0 ? -1 : first).map((line) => line.replace(/\S*valet-test-runner-[^/]+\//, ""));
  return { code: status, end };
}

test("the last line counts the tests and says how long they took", () => {
  const { code, end } = run({ "a.test.ts": PASSES, "b.test.ts": `${PASSES}\ntest.skip("later", () => {});` });
  expect(code).toBe(0);
  expect(end).toEqual([expect.stringMatching(/^2 passed, 0 failed, 1 skipped in \d+\.\d s$/)]);
});

test("what failed is named before that, with its file and its suite", () => {
  const fails = `${PASSES}\ndescribe("sums", () => { test("are right", () => expect(1 + 1).toBe(3)); });`;
  const { code, end } = run({
    "a.test.ts": fails,
    "b.test.ts": 'throw new Error("cannot be loaded");',
  });
  expect(code).toBe(1);
  expect(end.slice(0, 3).sort()).toEqual([
    "  src/a.test.ts > sums > are right",
    "  src/b.test.ts: cannot be loaded",
    "Failed:",
  ]);
  expect(end.slice(3)).toEqual(["", expect.stringMatching(/^1 passed, 2 failed in /)]);
});

test("an error between tests is a failure, too", () => {
  const leaves = `${PASSES}\ntest("leaves an error", () => { void Promise.reject(new Error("late")); });`;
  const { code, end } = run({ "a.test.ts": leaves });
  expect(code).toBe(1);
  expect(end.join("\n")).toMatch(/^Failed:\n.*ended with code 1, though no test failed\n\n2 passed, 1 failed in /);
});

test("no tests at all is a failure", () => {
  const { code, end } = run({});
  expect([code, end[0]]).toEqual([1, "Failed:"]);
});
