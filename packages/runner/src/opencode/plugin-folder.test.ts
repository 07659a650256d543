import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { preparePlugins } from "./plugin-folder.ts";

test("nothing is left to install in the user's folder, wherever that is", () => {
  const home = temporaryFolder();
  preparePlugins({ HOME: home });
  const folder = join(home, ".config/opencode");
  expect(readdirSync(folder).sort()).toEqual(["node_modules", "package-lock.json"]);
  const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8"));
  expect(Object.keys(packages[""].dependencies)).toEqual(["@opencode-ai/plugin"]);

  const other = temporaryFolder();
  preparePlugins({ HOME: home, XDG_CONFIG_HOME: other });
  expect(existsSync(join(other, "opencode/node_modules"))).toBe(true);
});

test("what somebody has put there stays as it is", () => {
  const home = temporaryFolder();
  const folder = join(home, ".config/opencode");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), "{}");
  preparePlugins({ HOME: home });
  expect(readdirSync(folder)).toEqual(["package.json"]);
});

test("a folder that cannot be written is left alone", () => {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, "");
  preparePlugins({ XDG_CONFIG_HOME: file });
  preparePlugins({});
  expect(readFileSync(file, "utf8")).toBe("");
});
