/** The runner's file of refusals, as the plugin reads it. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readRefusals } from "./refusals.ts";

test("the count grows with the runner's file, is unknown without one, and its path leaves the environment", () => {
  const folder = mkdtempSync(join(tmpdir(), "valet-refusals-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "refusals");
  const env: Record<string, string | undefined> = { VALET_REFUSALS_FILE: path, PATH: "/bin" };
  const count = readRefusals(env);
  expect(env).toEqual({ PATH: "/bin" });
  expect(count()).toBeUndefined();
  writeFileSync(path, "");
  expect(count()).toBe(0);
  appendFileSync(path, ".");
  expect(count()).toBe(1);
  expect(readRefusals({})()).toBeUndefined();
});
