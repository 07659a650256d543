/** The wrapper (workerd.sh) ends its workerd with `up`; here a shell stands in for `up`, and `sleep` for workerd. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";

const WRAPPER = fileURLToPath(new URL("./workerd.sh", import.meta.url));

/** Makes a folder with the programs that the wrapper uses, as far as they are named. */
function pathWith(folder: string, names: readonly string[]): string {
  mkdirSync(folder);
  for (const name of names) {
    const program = ["/usr/bin", "/bin"].map((bin) => join(bin, name)).find((path) => existsSync(path));
    if (program !== undefined) symlinkSync(program, join(folder, name));
  }
  return folder;
}

/** Returns the command line of a living process; empty when it has exited. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

test.runIf(process.platform === "linux").each([
  ["by the kernel", ["setpriv", "flock"]],
  ["without the kernel's help", ["flock"]],
  ["also without a file lock", []],
])("workerd ends with `up`, %s", async (_how, programs) => {
  const folder = mkdtempSync(join(tmpdir(), "valet-wrapper-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const env = {
    PATH: pathWith(join(folder, "bin"), ["env", "sleep", "true", ...programs]),
    VALET_WORKERD: "/bin/sleep",
    VALET_WORKERD_STATE: "state",
    VALET_WORKERD_LOCK: join(folder, "lock"),
  };
  const script = 'export VALET_WORKERD_PARENT=$$; "$@" & echo $!; wait';
  const up = spawn("/bin/sh", ["-c", script, "sh", WRAPPER, "86397"], { env, stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(up.stdout), "line");
  const pid = Number(line);
  onTestFinished(() => {
    if (commandOf(pid) !== "") process.kill(pid, "SIGKILL");
  });
  await vi.waitFor(() => expect(commandOf(pid)).toBe("/bin/sleep 86397"), { timeout: 15_000 });
  expect(existsSync(env.VALET_WORKERD_LOCK)).toBe(true);
  up.kill("SIGKILL");
  await vi.waitFor(() => expect(commandOf(pid)).toBe(""), { timeout: 15_000 });
});
