import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exchange, tryFor } from "../../test/exchange.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { entriesInside, isInside, readInside } from "./read-inside.ts";

const MAX = 1024;

function makeFolders() {
  const [root, outside] = [temporaryFolder(), temporaryFolder()];
  writeFileSync(join(outside, "secret"), "a secret");
  writeFileSync(join(root, "file"), "text");
  mkdirSync(join(root, "folder"));
  return { root, outside, link: (target: string, name: string) => symlinkSync(target, join(root, name)) };
}

test("files are read, also through links that stay in the folder", () => {
  const { root, link } = makeFolders();
  writeFileSync(join(root, "folder/inner"), "ü".repeat(MAX / 2));
  link("file", "link");
  link(join(root, "folder"), "absolute");
  link("../file", "folder/up");
  expect(readInside(root, "file", MAX)).toBe("text");
  expect(readInside(root, "link", MAX)).toBe("text");
  expect(readInside(root, "folder/up", MAX)).toBe("text");
  expect(readInside(root, "absolute/inner", MAX)).toBe("ü".repeat(MAX / 2));
  expect(new Set(entriesInside(root, "absolute").map(({ name }) => name))).toEqual(new Set(["inner", "up"]));
  expect(entriesInside(root, "").map(({ name }) => name)).toContain("file");
  expect(isInside(root, "absolute")).toBe(true);
});

test("the folder itself may be given by a link, and a neighbour whose name begins alike is outside", () => {
  const parent = temporaryFolder();
  for (const name of ["a", "ab"]) mkdirSync(join(parent, name));
  writeFileSync(join(parent, "a/file"), "text");
  writeFileSync(join(parent, "ab/file"), "other");
  symlinkSync("../ab/file", join(parent, "a/link"));
  symlinkSync("a", join(parent, "root"));
  expect(readInside(join(parent, "root"), "file", MAX)).toBe("text");
  expect(readInside(join(parent, "root"), "link", MAX)).toBeUndefined();
});

test("nothing else is read, and no pipe is waited for", () => {
  const { root, outside, link } = makeFolders();
  link(join(outside, "secret"), "secret");
  link(outside, "outside");
  link("/proc/self/environ", "environment");
  link("/dev/zero", "zero");
  link("nowhere", "dangling");
  link("loop", "loop");
  writeFileSync(join(root, "long"), "x".repeat(MAX + 1));
  writeFileSync(join(root, "huge"), "");
  truncateSync(join(root, "huge"), 1e12);
  execFileSync("mkfifo", [join(root, "pipe"), join(outside, "pipe")]);
  const names = ["secret", "outside/secret", "outside/pipe", "environment", "zero", "dangling", "loop", "none"];
  for (const name of [...names, "long", "huge", "pipe", "folder", "../x"]) {
    expect(readInside(root, name, MAX), name).toBeUndefined();
  }
  for (const name of ["outside", "file", "none", "pipe", ".."]) expect(entriesInside(root, name), name).toEqual([]);
  for (const name of names) expect(isInside(root, name), name).toBe(false);
});

test.runIf(process.platform === "linux")(
  "a file and a folder that are exchanged for links lead nowhere else",
  async () => {
    const { root, outside, link } = makeFolders();
    link(join(outside, "secret"), "link");
    mkdirSync(join(outside, "folder"));
    writeFileSync(join(outside, "folder/secret"), "a secret");
    writeFileSync(join(root, "folder/secret"), "own");
    link(join(outside, "folder"), "other");
    await exchange(join(root, "file"), join(root, "link"));
    await exchange(join(root, "folder"), join(root, "other"));
    const seen = new Set<string | undefined>();
    await tryFor(
      1_500,
      () => {
        seen.add(readInside(root, "file", MAX));
        seen.add(readInside(root, "folder/secret", MAX));
      },
      () => seen.has("a secret"),
    );
    // Each of the two was also seen as it should be.
    expect(seen).toEqual(new Set(["text", "own", undefined]));
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("a secret");
  },
);
