/** Measures real processes, as an ordinary user: root may read everything of every process. */
import { execFile, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

const run = promisify(execFile);
const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
const PROGRAM = fileURLToPath(new URL("../../test/measures-hidden.ts", import.meta.url));
const isRoot = process.getuid?.() === 0;
const [program = "", ...args] = [...(isRoot ? AS_NOBODY : []), process.execPath, PROGRAM];
const canRun = !isRoot || spawnSync(program, [...args.slice(0, -2), "test", "-r", PROGRAM]).status === 0;

test.skipIf(!canRun)(
  "what a process writes after it hid counts if the meter was prepared, and makes the sum unknown otherwise (skipped where an ordinary user cannot read this checkout)",
  async () => {
    // Files in memory count nothing, and the temporary folder may be there.
    const folder = mkdtempSync("/var/tmp/valet-meter-");
    onTestFinished(() => rmSync(folder, { recursive: true }));
    chmodSync(folder, 0o777);
    const { stdout } = await run(program, [...args, join(folder, "file")], {
      cwd: "/",
      env: { PATH: process.env.PATH, HOME: folder },
    });
    const { before, after, ended } = JSON.parse(stdout);
    expect(before.other).toBe(before.prepared);
    expect(after.prepared - before.prepared).toBeGreaterThanOrEqual(1024 * 1024);
    expect(after).not.toHaveProperty("other");
    expect(ended).toBeNull();
  },
);
