import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Refusals } from "./refusals.ts";

function setUp() {
  const folder = mkdtempSync(join(tmpdir(), "valet-refusals-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, refusals: new Refusals(folder) };
}

test("the file gets longer with each refusal, and is empty for a new OpenCode", () => {
  const { refusals } = setUp();
  refusals.reset();
  expect(statSync(refusals.path).size).toBe(0);
  refusals.add();
  refusals.add();
  expect(readFileSync(refusals.path, "utf8")).toBe("..");
  refusals.reset();
  expect(statSync(refusals.path).size).toBe(0);
});

test("a folder that is gone makes it throw no error", () => {
  const { folder, refusals } = setUp();
  refusals.reset();
  rmSync(folder, { recursive: true });
  refusals.add();
  expect(statSync(refusals.path, { throwIfNoEntry: false })).toBeUndefined();
});
