import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkDisk, findingOf } from "./check-disk.ts";
import { diskSpace } from "./system/disk-space.ts";

const MIB = 1024 * 1024;
const DIR = "/state";

test.each([
  ["no byte", { bytes: 0, files: 10 }, "missing", "0.0 MiB are left on the disk of /state; nothing can be read"],
  ["less than a database needs", { bytes: 0.5 * MIB, files: undefined }, "missing", "0.5 MiB are left"],
  [
    "no further file",
    { bytes: 500 * MIB, files: 0 },
    "missing",
    "no further file can be created on the disk of /state; nothing",
  ],
  [
    "room for few files",
    { bytes: 500 * MIB, files: 9_999 },
    "note",
    "500.0 MiB are left on the disk of /state, but only 9999 more files can be created; make room",
  ],
  ["little", { bytes: 63.9 * MIB, files: 10 }, "note", "63.9 MiB are left on the disk of /state; make room before"],
])("a disk with %s left is reported", (_what, space, state, detail) => {
  expect(findingOf(DIR, space)).toEqual([
    { name: "disk", state, detail: expect.stringContaining(detail), source: "the state directory" },
  ]);
});

test("a disk with room is not mentioned, nor is one that has no limit of files", () => {
  expect(findingOf(DIR, { bytes: 64 * MIB, files: 10_000 })).toEqual([]);
  expect(findingOf(DIR, { bytes: 64 * MIB, files: undefined })).toEqual([]);
});

test("a directory that does not exist yet will be on its parent's disk", () => {
  const missing = join(tmpdir(), "valet-never-made", "state");
  expect(Math.abs(diskSpace(missing).bytes - diskSpace(tmpdir()).bytes)).toBeLessThan(1024 * MIB);
  expect(checkDisk(missing)).toEqual(
    checkDisk(tmpdir()).map((finding) => expect.objectContaining({ name: finding.name })),
  );
});
