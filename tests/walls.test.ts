/** The broker decides whether sandboxes get a wall, and the runner builds it: the two must agree, for root and for an ordinary user. */
import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("escape/try-wall.ts", import.meta.url));
const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
const isRoot = process.getuid?.() === 0;

describe.each([
  ["this user", []],
  ["an ordinary user", AS_NOBODY],
])("%s", (name, prefix) => {
  const [first = process.execPath, ...rest] = prefix;
  const canRun = name === "this user" || (isRoot && spawnSync(first, [...rest, "test", "-r", PROGRAM]).status === 0);

  test.skipIf(!canRun)(
    `gets a wall exactly where the runner can build one${canRun ? "" : " (skipped: this user cannot become another, or that one cannot read this checkout)"}`,
    async () => {
      const [program = "", ...args] = [...prefix, process.execPath, PROGRAM];
      const { stdout } = await run(program, args, { cwd: "/", env: { PATH: "/usr/bin:/bin" } });
      const { said, built } = JSON.parse(stdout);
      expect(said === "works").toBe(built);
    },
  );
});
