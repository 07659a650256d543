/** Every command has a file of its name here, is in the program, and is where people look for it. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../../../..");
/** What several commands share. */
const SHARED = ["arguments.ts", "backend-options.ts"];
const files = readdirSync(import.meta.dirname).filter((name) => !name.endsWith(".test.ts") && !SHARED.includes(name));
const names = files.map((name) => name.replace(/\.ts$/, ""));

test("the program has the commands that have a file, and no others", () => {
  const help = execFileSync(process.execPath, [resolve(import.meta.dirname, "../bin.ts"), "--help"], {
    encoding: "utf8",
  });
  const [, list = ""] = help.split(/^To begin with:$/m);
  const listed = [...list.matchAll(/^ {2}([a-z]+)/gm)].flatMap(([, name]) => (name === "help" ? [] : [name]));
  expect(listed.toSorted()).toEqual(names.toSorted());
});

test.each(names)("README and ARCHITECTURE name the command %s", (name) => {
  expect(readFileSync(resolve(ROOT, "README.md"), "utf8")).toMatch(new RegExp(`pnpm(?:@12)? (?:valet )?${name}\\b`));
  const row = readFileSync(resolve(ROOT, "ARCHITECTURE.md"), "utf8").match(/^\| `packages\/cli` .*$/m)?.[0];
  expect(row).toMatch(new RegExp(`\`(?:valet )?${name}\``));
});
