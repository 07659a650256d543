import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { findState } from "./find-state.ts";

function project() {
  const root = mkdtempSync(join(tmpdir(), "valet-find-state-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const deep = join(root, "packages", "cli");
  mkdirSync(deep, { recursive: true });
  return { root, deep };
}

function makeState(folder: string): string {
  const path = join(folder, ".valet");
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "format.json"), "{}");
  return path;
}

test("the state directory is found from the subfolders of the folder that contains it; the nearest one wins", () => {
  const { root, deep } = project();
  expect(findState(".valet", deep, deep)).toBe(".valet");
  const state = makeState(root);
  expect(findState(".valet", root, root)).toBe(".valet");
  for (const folder of [join(root, "packages"), deep]) expect(findState(".valet", folder, folder)).toBe(state);
  // Run by `pnpm --dir`: the current folder is another one.
  expect(findState(".valet", deep, "/")).toBe(state);
  const nearer = makeState(join(root, "packages"));
  expect(findState(".valet", deep, deep)).toBe(nearer);
});

test("skips a folder of that name without state, and the state of another user", () => {
  const { root, deep } = project();
  const state = makeState(root);
  mkdirSync(join(root, "packages", ".valet"));
  expect(findState(".valet", deep, deep)).toBe(state);
  expect(findState(".valet", deep, deep, (process.getuid?.() ?? 0) + 1)).toBe(".valet");
});
