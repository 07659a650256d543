/** The end of `pnpm test`'s output, on a package made for this test. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const TEST = 'import { expect, test, describe } from "vitest";\n';
const PASSES = `${TEST}test("adds", () => expect(1 + 1).toBe(2));`;

/** Runs a package's tests as `pnpm test` does. @returns the exit code, and our own lines at the end */
function run(files: Record<string, string>): { code: number | null; end: string[] } {
  const folder = mkdtempSync(join(tmpdir(), "valet-test-runner-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "src"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, "src", name), text);
  const { VALET_TEST_RESULTS: _outer, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [join(ROOT, "scripts/test.ts")], {
    cwd: folder,
    encoding: "utf8" as const,
    env,
  });
  const lines = stdout.trimEnd().split("\n");
  const first = lines.lastIndexOf("Failed:");
  // Makes file names relative to the repository.
  const end = lines.slice(first < 0 ? -1 : first).map((line) => line.replace(/\S*valet-test-runner-[^/]+\//, ""));
  return { code: status, end };
}

test("the last line has the counts and the duration", () => {
  const { code, end } = run({ "a.test.ts": PASSES, "b.test.ts": `${PASSES}\ntest.skip("later", () => {});` });
  expect(code).toBe(0);
  expect(end).toEqual([expect.stringMatching(/^2 passed, 0 failed, 1 skipped in \d+\.\d s$/)]);
});

test("failures are named before the last line, with file and suite", () => {
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

test("an error outside tests is a failure, too", () => {
  const leaves = `${PASSES}\ntest("leaves an error", () => { void Promise.reject(new Error("late")); });`;
  const { code, end } = run({ "a.test.ts": leaves });
  expect(code).toBe(1);
  expect(end.join("\n")).toMatch(/^Failed:\n.*exited with code 1, though no test failed\n\n2 passed, 1 failed in /);
});

test("a run without tests is a failure", () => {
  const { code, end } = run({});
  expect([code, end[0]]).toEqual([1, "Failed:"]);
});
