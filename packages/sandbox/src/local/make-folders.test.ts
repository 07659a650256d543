import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeFolders } from "./make-folders.ts";

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), "folders-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test("creates all that are missing, and nothing that is there", () => {
  const path = join(temporary(), "a/b/c");
  makeFolders(path, 0o700);
  makeFolders(path, 0o755);
  for (const each of [path, join(path, "..")]) expect(statSync(each).mode & 0o777).toBe(0o700);
});

test("ends with the system's error about the first that cannot be created", () => {
  const base = temporary();
  writeFileSync(join(base, "file"), "");
  symlinkSync("nowhere", join(base, "dangling"));
  symlinkSync("circle", join(base, "circle"));
  const failure = (path: string) => {
    try {
      makeFolders(path, 0o700);
      return "made";
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  // There Node's own recursive mkdir never returns.
  expect(["/proc/x", "/proc/x/y"].map(failure)).toEqual(["ENOENT", "ENOENT"]);
  expect(["file", "file/x", "dangling", "circle"].map((name) => failure(join(base, name)))).toEqual([
    "EEXIST",
    "EEXIST",
    "EEXIST",
    "ELOOP",
  ]);
  expect(failure(join(base, "n".repeat(300)))).toBe("ENAMETOOLONG");
});
