import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../test/folder.ts";
import { pluginProblem } from "./plugin-file.ts";

test("the plugin must be there, and readable by OpenCode's user with the folders above it", () => {
  const root = temporaryFolder();
  chmodSync(root, 0o755);
  const folder = join(root, "image");
  const path = join(folder, "plugin.js");
  const link = join(root, "link.js");
  const { href } = pathToFileURL(path);
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  symlinkSync(path, link);
  expect(pluginProblem(href, false)).toMatch(/cannot be read \(ENOENT\): .*plugin\.js/);
  expect(pluginProblem(href, true)).toMatch(/ENOENT/);
  writeFileSync(path, "");
  chmodSync(path, 0o644);
  for (const isOtherUser of [false, true]) expect(pluginProblem(href, isOtherUser)).toBeUndefined();
  // As a checkout has it whose owner's umask is 077: the runner may read it nevertheless.
  chmodSync(path, 0o600);
  expect(pluginProblem(href, false)).toBeUndefined();
  expect(pluginProblem(href, true)).toBe(`OpenCode's plugin cannot be read by its user: ${path} is closed to others`);
  chmodSync(path, 0o644);
  chmodSync(folder, 0o700);
  expect(pluginProblem(href, true)).toContain(`${folder} is closed`);
  expect(pluginProblem(pathToFileURL(link).href, true)).toContain(`${folder} is closed`);
});
