/** The limit on stored tool output, where an agent exchanges files and folders for links while they are looked at. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exchange, tryFor } from "../../test/exchange.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { boundToolOutput, toolOutputFolder } from "./tool-output.ts";

const isLinux = process.platform === "linux";

/** Looks at the files twice. @param maxBytes so little that every file takes more than that on its disk */
function sweepOnce(home: string, maxBytes = 1): void {
  const folder = toolOutputFolder({ HOME: home });
  if (folder !== undefined) boundToolOutput({ folder, maxBytes, intervalMs: 600_000 })();
}

function makeFiles() {
  const home = temporaryFolder();
  const place = join(home, ".local/share/opencode/tool-output");
  mkdirSync(place, { recursive: true });
  const outside = temporaryFolder();
  const victim = join(outside, "tool_victim");
  writeFileSync(victim, "a file of the machine's user");
  return {
    home,
    place,
    outside,
    victim,
    isUnharmed: () => readFileSync(victim, "utf8") === "a file of the machine's user",
  };
}

test.runIf(isLinux)("a file that is exchanged for a link is not written through it", async () => {
  const { home, place, victim, isUnharmed } = makeFiles();
  const [file, link] = [join(place, "tool_big"), join(home, "link")];
  writeFileSync(file, "x".repeat(64 * 1024));
  symlinkSync(victim, link);
  await exchange(file, link);
  await tryFor(
    1_000,
    () => sweepOnce(home),
    () => !isUnharmed(),
  );
  expect(isUnharmed()).toBe(true);
});

test.runIf(isLinux)("files outside are not deleted when the folder is exchanged for a link", async () => {
  const { home, place, outside, victim } = makeFiles();
  writeFileSync(join(outside, "tool_newest"), "x");
  utimesSync(victim, 1, 1);
  const link = join(home, "link");
  symlinkSync(outside, link);
  await exchange(place, link);
  await tryFor(
    3_000,
    () => sweepOnce(home),
    () => !existsSync(victim),
  );
  expect(existsSync(victim)).toBe(true);
});

test.each([".local", ".local/share", ".local/share/opencode", ".local/share/opencode/tool-output"])(
  "a link in place of ~/%s leads to no other folder's files",
  (name) => {
    const { outside, victim } = makeFiles();
    const home = temporaryFolder();
    const rest = ".local/share/opencode/tool-output".slice(name.length);
    const elsewhere = join(outside, "elsewhere");
    const files = join(elsewhere, rest);
    mkdirSync(files, { recursive: true });
    for (const file of ["tool_a", "tool_b"]) writeFileSync(join(files, file), readFileSync(victim));
    mkdirSync(join(home, name, ".."), { recursive: true });
    symlinkSync(elsewhere, join(home, name));
    sweepOnce(home);
    for (const file of ["tool_a", "tool_b"]) expect(readFileSync(join(files, file))).toEqual(readFileSync(victim));
  },
);

test("a named pipe, a folder and a file with a second name are left alone, and nothing waits", () => {
  const { home, place, victim } = makeFiles();
  execFileSync("mkfifo", [join(place, "tool_pipe")]);
  mkdirSync(join(place, "tool_folder"));
  writeFileSync(join(place, "tool_old"), "x");
  utimesSync(join(place, "tool_old"), 1, 1);
  linkSync(victim, join(place, "tool_linked"));
  sweepOnce(home);
  expect(existsSync(join(place, "tool_pipe"))).toBe(true);
  expect(existsSync(join(place, "tool_folder"))).toBe(true);
  expect(existsSync(join(place, "tool_old"))).toBe(false);
  expect(statSync(victim).size).toBeGreaterThan(1);
});
