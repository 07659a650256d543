import { once } from "node:events";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { privatePaths } from "./private-paths.ts";

/** A temporary folder that everybody may enter. */
function openFolder(): string {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  return folder;
}

test("what others may not read or enter is private, with all that is below; links and what they may is not", () => {
  const top = openFolder();
  const make = (name: string, mode: number) => {
    mkdirSync(join(top, name), { recursive: true });
    chmodSync(join(top, name), mode);
  };
  const write = (name: string, mode: number) => {
    writeFileSync(join(top, name), "");
    chmodSync(join(top, name), mode);
  };
  make("closed", 0o710);
  write("closed/key", 0o600);
  // Whoever knows the name of a file in it may read that.
  make("unlisted", 0o711);
  write("unlisted/key", 0o640);
  write("unlisted/program", 0o755);
  make("a/b/c", 0o755);
  write("a/b/key", 0o600);
  // Too deep.
  write("a/b/c/key", 0o600);
  symlinkSync(join(top, "closed/key"), join(top, "link"));
  expect(privatePaths([top, join(top, "missing")])).toEqual([
    { path: join(top, "closed"), isFolder: true },
    { path: join(top, "unlisted/key"), isFolder: false },
    { path: join(top, "a/b/key"), isFolder: false },
  ]);
});

test("a folder that others may not enter is private itself, and so is a socket to which they may not connect", async () => {
  const top = temporaryFolder();
  const shut = join(top, "shut");
  mkdirSync(shut, { mode: 0o700 });
  writeFileSync(join(shut, "key"), "", { mode: 0o644 });
  const open = join(top, "open");
  mkdirSync(open);
  for (const [name, mode] of [
    ["control", 0o600],
    ["public", 0o666],
  ] as const) {
    const server = createServer().listen(join(open, name));
    onTestFinished(() => void server.close());
    await once(server, "listening");
    chmodSync(join(open, name), mode);
  }
  expect(privatePaths([shut, open])).toEqual([
    { path: shut, isFolder: true },
    { path: join(open, "control"), isFolder: false },
  ]);
});

test("as many are found as a wall can hide at once, those near the top first", () => {
  const top = openFolder();
  mkdirSync(join(top, "a"));
  for (let n = 0; n < 300; n++) writeFileSync(join(top, "a", `key-${n}`), "", { mode: 0o600 });
  writeFileSync(join(top, "key"), "", { mode: 0o600 });
  const found = privatePaths([top]);
  expect(found).toHaveLength(256);
  expect(found[0]).toEqual({ path: join(top, "key"), isFolder: false });
});
