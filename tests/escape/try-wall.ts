/** Run as the user in question: prints what the broker says of walls on this machine, and whether the runner can build one. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bubblewrap } from "../../packages/runner/src/wall/bubblewrap.ts";
import { findNoWall } from "../../packages/sandbox/src/local/isolation.ts";

const home = mkdtempSync(join(tmpdir(), "valet-wall-"));
const wall = new Bubblewrap({ own: [home], readable: [], home, path: "/usr/bin:/bin" });
try {
  const entered = await wall.enter(["/usr/bin/id", "-u"], home).catch(() => undefined);
  const [program = "", ...args] = entered?.command ?? [];
  const { stdout } = spawnSync(program || "false", args, { cwd: "/", encoding: "utf8" });
  process.stdout.write(
    JSON.stringify({ said: (await findNoWall())?.reason ?? "works", built: stdout.trim() === "1000" }),
  );
} finally {
  await wall.close();
  rmSync(home, { recursive: true });
}
