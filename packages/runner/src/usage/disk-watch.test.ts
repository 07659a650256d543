import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DiskWatch } from "./disk-watch.ts";

const MIB = 1024 * 1024;

function setUp() {
  const state = { bytes: 0, fileSystem: 0 as number | undefined, nowMs: 0, measured: 0 };
  const watch = new DiskWatch({
    folders: ["/sandbox"],
    limitBytes: 100 * MIB,
    measure: async () => {
      state.measured++;
      return state.bytes;
    },
    fileSystem: () => state.fileSystem,
    nowMs: () => state.nowMs,
  });
  const look = (writtenBytes?: number) => {
    state.nowMs += 1_000;
    return watch.isFull(writtenBytes);
  };
  return { watch, state, look };
}

test("looks that follow at once are left out, unless one is due", async () => {
  const { watch, state } = setUp();
  state.fileSystem = undefined;
  state.bytes = 100 * MIB;
  expect(await watch.isFull(undefined, true)).toBe(true);
  state.bytes = 200 * MIB;
  expect(await watch.isFull(undefined)).toBe(false);
  expect(await watch.isFull(undefined, true)).toBe(true);
});

test("folders are not measured while all of their file system takes less than the limit", async () => {
  const { state, look } = setUp();
  state.fileSystem = 99 * MIB;
  for (let n = 0; n < 10; n++) expect(await look(n * MIB)).toBe(false);
  expect(state.measured).toBe(0);
});

test("they are measured again once enough was written, or was taken without writing", async () => {
  const { state, look } = setUp();
  state.fileSystem = 1000 * MIB;
  state.bytes = 40 * MIB;
  expect(await look(0)).toBe(false);
  expect(await look(59 * MIB)).toBe(false);
  expect(state.measured).toBe(1);
  expect(await look(61 * MIB)).toBe(false);
  expect(state.measured).toBe(2);
  state.fileSystem = 1061 * MIB;
  expect(await look(61 * MIB)).toBe(false);
  expect(state.measured).toBe(3);
});

test("a full sandbox may grow by a little more, so that someone can tidy up, and not without end", async () => {
  const { state, look } = setUp();
  state.fileSystem = 1000 * MIB;
  state.bytes = 100 * MIB;
  expect(await look(0)).toBe(true);
  expect(await look(1)).toBe(false);
  state.bytes = 117 * MIB;
  expect(await look(17 * MIB)).toBe(true);
  state.bytes = 50 * MIB;
  expect(await look(40 * MIB)).toBe(false);
  // Tidied up, it has its own limit again.
  state.bytes = 101 * MIB;
  expect(await look(140 * MIB)).toBe(true);
});

test("what cannot be known is looked up", async () => {
  const { state, look } = setUp();
  state.fileSystem = undefined;
  state.bytes = 150 * MIB;
  expect(await look(undefined)).toBe(true);
});

test("real folders are measured with what is below them, hard links once and links not at all", async () => {
  const folder = mkdtempSync(join(tmpdir(), "valet-disk-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "a/b"), { recursive: true });
  writeFileSync(join(folder, "a/b/file"), Buffer.alloc(2 * MIB, 1));
  const watch = (limitBytes: number) =>
    new DiskWatch({ folders: [join(folder, "a"), join(folder, "missing")], limitBytes, fileSystem: () => undefined });
  expect(await watch(2 * MIB).isFull(undefined)).toBe(true);
  expect(await watch(3 * MIB).isFull(undefined)).toBe(false);
});

test("many complaints of the measurement change nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "valet-disk-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "file"), Buffer.alloc(2 * MIB, 1));
  const missing = Array.from({ length: 9_000 }, (_, n) => join(folder, `${n}-${"m".repeat(100)}`));
  const watch = new DiskWatch({ folders: [folder, ...missing], limitBytes: 2 * MIB, fileSystem: () => undefined });
  expect(await watch.isFull(undefined)).toBe(true);
});
